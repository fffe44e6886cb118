"""kill -9 while the state file is written: it is the old one or the new one, and the next start says which."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exporter.storage import state_file
from tests.support.configurations import account, write_configuration
from tests.support.processes import ROOT, Programs, clean_environment

pytestmark = pytest.mark.processes

KILLS = 200
SEED = 1
STATE = "state/rtcmpu.state"
SWEEPS = "collection: {interval: 1s, sweep_interval: 1s, stale_after: 60s, state_file: state/rtcmpu.state}\n"


def test_killed_writers_leave_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """Of 200 writers that are killed at random moments none leaves a file that is damaged, missing or older."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.killed_writers", tmp_path / "rtcmpu.state", str(KILLS), str(SEED)],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env=clean_environment(tmp_path),
        timeout=120,
    )
    found = json.loads(done.stdout)
    assert found["old"] + found.get("new", 0) == KILLS, found
    assert found["writes"] >= KILLS, "they were killed before they wrote anything"
    assert found["beside"] > 0, "no kill hit a write"


def test_what_killed_writers_left_goes_with_a_later_write(tmp_path: Path) -> None:
    """What lies beside the file for long is taken away by the next write; what is young may be somebody's."""
    path = tmp_path / "a[b].state"
    old, young, foreign = (tmp_path / name for name in (".a[b].state.1.new", ".a[b].state.2.new", ".ab.state.3.new"))
    for file in (old, young, foreign):
        file.write_bytes(b"half")
    long_ago = time.time() - 2 * state_file.LEFT_OVER_SECONDS
    for file in (old, foreign):
        os.utime(file, (long_ago, long_ago))
    assert state_file.unfinished_writes(path) == [old, young]
    state_file.write(path, state_file.encode([]))
    assert sorted(tmp_path.iterdir()) == sorted((path, young, foreign))


def test_the_next_start_says_which_state_it_has(programs: Programs) -> None:
    """After kill -9 the program starts with what was written last, names its sweep, and serves it at once."""
    _, simulator = programs.start_simulator("--apps=1", "--tasks=500", "--churn=5")
    config = write_configuration(programs.directory, account(simulator), rest=SWEEPS)
    state = programs.directory / STATE
    rng = random.Random(SEED)  # noqa: S311 - moments, no secrets

    first, _ = programs.start_daemon(config)
    first.wait_for("no state file yet, starting without data")
    first.wait_for("collection is complete")
    first.end()
    for _ in range(2):
        apps = state_file.read(state)
        assert apps is not None
        (saved,) = apps
        running, _ = programs.start_daemon(config)
        found = running.wait_for(r'msg="state file read" .*apps=1 tasks=(\d+) newest_sweep=(\S+) unfinished_writes=0')
        assert int(found[1]) == len(saved.tasks)
        assert found[2] == datetime.fromtimestamp(saved.sweep.began, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        time.sleep(rng.uniform(0, 1))
        running.send(signal.SIGKILL)
        running.ended(within_seconds=5)

    state.write_bytes(state.read_bytes()[:-1])
    damaged, _ = programs.start_daemon(config)
    damaged.wait_for("state file refused, starting without data.*it is damaged")
