"""What all tests of processes share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Programs


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    """Start programs in a directory of the test's own, and end them with it."""
    with Programs(tmp_path) as started:
        yield started
