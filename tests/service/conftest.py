"""What tests of the service share."""

from collections.abc import AsyncIterator

import pytest

from tests.support.monitored import Simulated, simulated


@pytest.fixture
async def simulator() -> AsyncIterator[Simulated]:
    """Serve three small apps."""
    async with simulated() as service:
        yield service
