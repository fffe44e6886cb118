"""What the simulator's tests share by name."""

import pytest

from tests.simulator.support import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    """A clock that does not move."""
    return ManualClock()
