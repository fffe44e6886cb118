"""kill -9 of a writer: the database opens, and holds every change that was confirmed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, clean_environment

pytestmark = pytest.mark.processes

KILLS = 200


def test_no_confirmed_change_is_lost_or_doubled(url: str, tmp_path: Path) -> None:
    """Of 200 writers that are killed at random moments none leaves a database that misses or doubles a change."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.storage.killed_writers", url, str(KILLS), "1"],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env=clean_environment(tmp_path),
        timeout=300,
    )
    found = json.loads(done.stdout)
    assert found["confirmed"] >= KILLS, "they were killed before they wrote anything"
    assert (found["missing"], found["doubled"], found["tasks_without_change"]) == (0, 0, 0)
