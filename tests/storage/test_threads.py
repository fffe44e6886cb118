"""A database that several threads read at once."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from exporter.storage.database import Database
from tests.support.batches import batch, entry
from tests.support.processes import ROOT

PROCESSES = 20
PROGRAM = f"""\
import os, sys, threading
from exporter.storage.database import Database

def load():
    database = Database(sys.argv[1])
    together.wait()
    assert len(database.load()[0].entries) == 1

sys.setswitchinterval(1e-6)
for _ in range({PROCESSES}):
    if os.fork() == 0:
        together = threading.Barrier(8)
        threads = [threading.Thread(target=load) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_threads_that_read_tasks_for_the_first_time_at_once_do_not_crash(tmp_path: Path) -> None:
    """What the decoder prepares of a type is not prepared by two threads: the process would end without a word."""
    url = f"sqlite:{tmp_path / 'rtcmpu.db'}"
    with closing(Database(url)) as database:
        database.write(batch(entry("task")))
    command, env = [sys.executable, "-c", PROGRAM, url], os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False, text=True, timeout=60)
    assert done.stdout.split() == ["0"] * PROCESSES, done.stderr
