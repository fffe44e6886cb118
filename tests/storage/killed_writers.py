"""Writers of a database that are killed while they write: `python -m tests.storage.killed_writers URL TIMES SEED`.

Each is a process of its own that writes one change after another. After its end the database is read: it has to hold
every change that was confirmed, once. Prints what became of them, as JSON.
"""

import json
import mmap
import os
import random
import signal
import struct
import sys
import time

from sqlalchemy import select

from exporter.storage.database import Database
from exporter.storage.tables import CHANGES
from tests.support.batches import batch, changed, entry

LONGEST_LIFE_SECONDS = 0.03  # after the first write
_COUNTER = struct.Struct("q")


def main(url: str, times: str, seed: str) -> None:
    """Kill this many writers, and print how many changes were confirmed, found, missing and doubled."""
    rng = random.Random(seed)  # noqa: S311 - moments, no secrets
    confirmed = mmap.mmap(-1, _COUNTER.size)
    database = Database(url)
    database.write(batch(token="first"))
    database.close()
    for _ in range(int(times)):
        before = _COUNTER.unpack(confirmed)[0]
        writer = os.fork()
        if writer == 0:
            _write_forever(url, confirmed)
        while _COUNTER.unpack(confirmed)[0] == before:
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, LONGEST_LIFE_SECONDS))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
    last = _COUNTER.unpack(confirmed)[0]
    database = Database(url)
    with database._engine.connect() as connection:
        found = list(connection.scalars(select(CHANGES.c.task_id)))
    (app,) = database.load()
    tasks = {each.task.task_id for each in app.entries}
    database.close()
    missing = {f"task-{number}" for number in range(1, last + 1)} - set(found)
    result = {
        "confirmed": last,
        "missing": len(missing),
        "doubled": len(found) - len(set(found)),
        "tasks_without_change": len(tasks ^ set(found)),
    }
    sys.stdout.write(json.dumps(result) + "\n")


def _write_forever(url: str, confirmed: mmap.mmap) -> None:
    """Write the next change again and again, and count each that is confirmed."""
    database = Database(url)
    while True:
        number = _COUNTER.unpack(confirmed)[0] + 1
        database.write(changed(None, entry(f"task-{number}"), token=f"change {number}"))
        confirmed[:] = _COUNTER.pack(number)


if __name__ == "__main__":
    main(*sys.argv[1:])
