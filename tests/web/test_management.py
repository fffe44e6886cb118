"""`/-/reload`."""

import pytest
from aiohttp.test_utils import TestClient, TestServer

from exporter.web.application import application
from tests.web.fake_view import FakeView, FixedClock


async def _post(view: FakeView, *, enabled: bool) -> tuple[int, str]:
    app = application(view, FixedClock(), enable_lifecycle=enabled)
    async with TestClient(TestServer(app)) as client:
        answer = await client.post("/-/reload")
        return answer.status, await answer.text()


async def test_it_is_forbidden_unless_it_was_allowed() -> None:
    """Without the flag nothing is loaded, and the answer names both ways."""
    view = FakeView()
    status, text = await _post(view, enabled=False)
    assert (status, view.reloads) == (403, 0)
    assert "--web.enable-lifecycle" in text
    assert "SIGHUP" in text


async def test_a_good_configuration_is_taken_on() -> None:
    """The answer comes once it is in force."""
    view = FakeView()
    assert await _post(view, enabled=True) == (200, "the configuration is loaded again\n")
    assert view.reloads == 1


@pytest.mark.parametrize("reason", ["a.yml:1:1: nonsense", "a.yml:1:1: one\na.yml:2:1: another"])
async def test_a_refused_configuration_is_a_500_with_every_mistake(reason: str) -> None:
    """Who asked learns what is wrong, and that nothing has changed."""
    view = FakeView()
    view.refusal = reason
    status, text = await _post(view, enabled=True)
    assert status == 500
    assert text == f"the configuration is refused, the one before stays:\n{reason}\n"
