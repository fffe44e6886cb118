"""The web side over HTTP."""

from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer

from exporter.web.application import application
from tests.support.virtual_time import SetClock
from tests.web.api.api_view import full_view
from tests.web.fake_view import Client, FakeView


@pytest.fixture
def view() -> FakeView:
    """What is shown."""
    return full_view()


@pytest.fixture
async def client(view: FakeView) -> AsyncIterator[Client]:
    """A client of a server of `view`, that decodes nothing by itself."""
    server = TestServer(application(view, SetClock()), access_log=None)
    async with TestClient(server, auto_decompress=False, headers={"Accept-Encoding": "identity"}) as client:
        yield client
