"""kill -9 of a writer: the database opens, and holds every change that was confirmed."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.generated import examples
from tests.support.postgresql import PostgreSQL
from tests.support.processes import Programs

pytestmark = pytest.mark.processes

KILLS = examples(200)  # of each kind of database


def test_no_confirmed_change_is_lost_or_doubled(server: PostgreSQL, tmp_path: Path) -> None:
    """Of many writers that are killed at random moments none leaves a database that misses or doubles a change."""
    urls = f"sqlite:{tmp_path / 'rtcmpu.db'}", server.new_database()
    with Programs(tmp_path) as programs:
        command = sys.executable, "-m", "tests.storage.killed_writers"
        for running in [programs.start(*command, url, str(KILLS), "1") for url in urls]:
            found = json.loads(running.ended(within_seconds=300).out)
            assert found["confirmed"] >= KILLS, "they were killed before they wrote anything"
            assert (found["missing"], found["doubled"], found["tasks_without_change"]) == (0, 0, 0)
