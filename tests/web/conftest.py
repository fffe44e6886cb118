"""The API over HTTP."""

from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.web.api.api_view import Client, api_of, full_view
from tests.web.fake_view import FakeView


@pytest.fixture
def view() -> FakeView:
    """What is shown."""
    return full_view()


@pytest.fixture
async def client(view: FakeView) -> AsyncIterator[Client]:
    """A client of a server of the API of `view`, that decodes nothing by itself."""
    server = TestServer(api_of(view), access_log=None)
    async with TestClient(server, auto_decompress=False, headers={"Accept-Encoding": "identity"}) as client:
        yield client
