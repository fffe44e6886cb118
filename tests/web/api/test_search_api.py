"""Search over all accounts, on its page and in the API."""

import gc
import time

import pytest

from exporter.core.collection_state import State
from exporter.web.api.apps_api import search
from exporter.web.query import Query
from tests.support.virtual_time import finished, timed
from tests.web.api.api_view import json_of
from tests.web.fake_view import PENDING, FakeView, app_view, entry
from tests.web.pages.page_view import client_of, page_of


def view_of_two_accounts() -> FakeView:
    """Return a view of tasks whose names contain one another."""
    view = FakeView(
        [app_view(app_id="stage", name="Main"), app_view(account="staging", state=State.TIMEOUT, up=False), PENDING]
    )
    view.put([entry("abc-1", channel_id="one"), entry("xabc", channel_id="Stage")], app_id="stage")
    view.put([entry("ABC", channel_id="two")], account="staging")
    return view


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("abc", ["ABC", "abc-1", "xabc"]),
        ("STAGE", ["stage", "xabc", "live-new", "live-main"]),
        ("tw", ["ABC"]),
        ("main s", ["live-new", "live-main"]),
        ("live", ["live-new", "live-main"]),
        ("nope", []),
    ],
)
async def test_apps_tasks_and_channels_are_found_in_all_accounts(text: str, names: list[str]) -> None:
    """Equal names are first, then those that begin with the text; case is ignored; apps come before tasks."""
    view = view_of_two_accounts()
    async with client_of(view) as client:
        answer = await json_of(client, f"/api/v1/search?text={text}")
    assert [one["task_id"] or one["app_id"] for one in answer["results"]] == names
    assert answer["matching"] == len(names)
    page = await page_of(view, "/search", {"text": text})
    links = [link.split("/")[-1] for link in page.links if link.startswith("/apps/")]
    assert [name for name in names if name not in links] == []


@pytest.mark.parametrize(("text", "words"), [("", "Enter a part of"), ("nope", "No task, channel or app is like that")])
async def test_no_result_is_said(text: str, words: str) -> None:
    """The box keeps what was searched for."""
    page = await page_of(view_of_two_accounts(), "/search", {"text": text})
    assert words in page.text
    assert [one["value"] for one in page.all("input") if one.get("name") == "text"] == [text]


async def test_every_page_has_the_box() -> None:
    """One form in the head leads to the search from anywhere, errors included."""
    view = view_of_two_accounts()
    for path in ("/", "/violations", "/changes", "/rules", "/search", "/apps/production/stage", "/apps/x/y"):
        page = await page_of(view, path)
        assert [form["action"] for form in page.all("form") if form.get("aria-label") == "Everything"] == ["/search"]


@pytest.mark.parametrize(("text", "matching"), [("4e1f", 1), ("0", 20_048)])
def test_20_000_tasks_are_searched_within_100_ms(text: str, matching: int) -> None:
    """Whether one matches or all do, it takes 100 ms of processor time in slices, between which the event loop runs."""
    view = FakeView([app_view(app_id=f"app-{number}") for number in range(300)])
    for number in range(20_000):
        view.put([entry(f"{number:032x}")], app_id=f"app-{number % 300}")

    def seconds() -> float:
        began = time.process_time()
        found, slices = timed(search(view, Query(text=text)))
        assert found.matching == matching
        assert len(slices) >= 10
        return time.process_time() - began

    assert any(seconds() < 0.1 for _ in range(10))


def test_results_cost_no_garbage_collection() -> None:
    """The collector does not track them: 20,000 at a time would make it stop the event loop for 40 ms."""
    found = finished(search(view_of_two_accounts(), Query(text="abc")))
    hits = finished(found.rows(0, 3))
    assert [gc.is_tracked(hit) for hit in hits] == [False] * 3
