"""What tests of the service share."""

from collections.abc import AsyncIterator

import pytest

from exporter.service import daemon
from tests.support.monitored import Simulated, simulated


@pytest.fixture
async def simulator() -> AsyncIterator[Simulated]:
    """Serve three small apps."""
    async with simulated() as service:
        yield service


@pytest.fixture
def often_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let daemons publish everything, and look at the clock, several times a second."""
    for pause in ("BEAT_SECONDS", "PUBLISH_OWN_PAUSE_SECONDS", "PUBLISH_TASKS_PAUSE_SECONDS"):
        monkeypatch.setattr(daemon, pause, 0.1)
