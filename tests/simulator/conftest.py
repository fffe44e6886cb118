"""What the simulator's tests share by name."""

import pytest

from tests.support.virtual_time import SetClock


@pytest.fixture
def clock() -> SetClock:
    """A clock that does not move."""
    return SetClock()
