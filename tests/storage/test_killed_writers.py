"""kill -9 of a writer: the database opens, and holds every change that was published more than a second before."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.generated import examples
from tests.support.postgresql import PostgreSQL
from tests.support.processes import Programs

pytestmark = pytest.mark.processes


@pytest.mark.parametrize(("kind", "kills"), [("directly", examples(200)), ("beside", examples(10))])
def test_no_change_is_lost_or_doubled(kind: str, kills: int, server: PostgreSQL, tmp_path: Path) -> None:
    """Of many writers that are killed at random moments none leaves a database that misses or doubles a change.

    They are confirmed one by one, or were handed over a second before, beside an app of which all tasks are written.
    """
    urls = f"sqlite:{tmp_path / 'rtcmpu.db'}", server.new_database()
    with Programs(tmp_path) as programs:
        command = sys.executable, "-m", "tests.storage.killed_writers", kind
        for running in [programs.start(*command, url, str(kills), "1") for url in urls]:
            found = json.loads(running.ended(within_seconds=300).out)
            assert found["expected"] >= kills, "they were killed before they wrote anything"
            assert (found["missing"], found["doubled"], found["tasks_without_change"]) == (0, 0, 0)
