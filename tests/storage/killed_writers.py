"""Writers of a database that are killed while they write: `python -m tests.storage.killed_writers KIND URL TIMES SEED`.

Each is a process of its own that writes one change after another, directly or beside an app whose tasks are written
all the time. After its end the database is read: it has to hold every change once that was confirmed, or that waited
for more than a second. Prints what became of them, as JSON.
"""

import asyncio
import json
import mmap
import os
import random
import signal
import struct
import sys
import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import select

from exporter.storage.database import Database
from exporter.storage.tables import CHANGES
from tests.support.batches import RecordedWriter, batch, changed, entry

LIFE_SECONDS = {"directly": (0.0, 0.03), "beside": (1.2, 2.0)}
"""How long a writer lives after its first write, at least and at most."""
LONGEST_WAIT_SECONDS = 1.0
LARGE_APP_TASKS = 20_000
CHANGE_SECONDS = 0.005  # between two changes beside the large app
MOST_CHANGES = 1 << 20


class _Shared:
    """What a writer leaves behind: how many changes it wrote or handed over, and when each was."""

    _NUMBER: Final = struct.Struct("q")
    _TIME: Final = struct.Struct("d")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, self._NUMBER.size + MOST_CHANGES * self._TIME.size)

    @property
    def last(self) -> int:
        return int(self._NUMBER.unpack_from(self._memory)[0])

    def time_of(self, number: int) -> float:
        return float(self._TIME.unpack_from(self._memory, self._place(number))[0])

    def add(self, number: int) -> None:
        self._TIME.pack_into(self._memory, self._place(number), time.monotonic())
        self._NUMBER.pack_into(self._memory, 0, number)

    def _place(self, number: int) -> int:
        return self._NUMBER.size + number * self._TIME.size


def main(kind: str, url: str, times: str, seed: str) -> None:
    """Kill this many writers, and print how many changes were expected, missing and doubled."""
    rng = random.Random(seed)  # noqa: S311 - moments, no secrets
    shared, expected = _Shared(), set[str]()
    database = Database(url)
    database.write(batch(token="first"))
    database.close()
    write: Callable[[str, _Shared], None] = {"directly": _write_directly, "beside": _write_beside}[kind]
    for _ in range(int(times)):
        before = shared.last
        writer = os.fork()
        if writer == 0:
            write(url, shared)
        while shared.last == before:
            if os.waitpid(writer, os.WNOHANG)[0]:
                sys.exit("a writer ended before it wrote anything: see above")
            time.sleep(0.0005)
        time.sleep(rng.uniform(*LIFE_SECONDS[kind]))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        until = time.monotonic() - (LONGEST_WAIT_SECONDS if kind == "beside" else 0.0)
        numbers = range(before + 1, shared.last + 1)
        expected.update(f"task-{number}" for number in numbers if shared.time_of(number) <= until)
    database = Database(url)
    with database._engine.connect() as connection:
        found = list(connection.scalars(select(CHANGES.c.task_id)))
    app = next(each for each in database.load() if each.app_id == "live")
    tasks = {each.task.task_id for each in app.entries}
    database.close()
    result = {
        "expected": len(expected),
        "missing": len(expected - set(found)),
        "doubled": len(found) - len(set(found)),
        "tasks_without_change": len(tasks ^ set(found)),
    }
    sys.stdout.write(json.dumps(result) + "\n")


def _write_directly(url: str, shared: _Shared) -> None:
    """Write the next change again and again, and count each that is confirmed."""
    database = Database(url)
    while True:
        number = shared.last + 1
        database.write(changed(None, entry(f"task-{number}"), token=f"change {number}"))
        shared.add(number)


def _write_beside(url: str, shared: _Shared) -> None:
    """Hand over the next change again and again, and count each at once, while all tasks of a large app are written."""
    asyncio.run(_hand_over(RecordedWriter(lambda: url), shared))


async def _hand_over(one: RecordedWriter, shared: _Shared) -> None:
    large = [entry(f"task-{number}") for number in range(LARGE_APP_TASKS)]
    one.writer.start(lambda run: run())
    while True:
        if not one.is_waiting("large"):
            one.write(batch(*large, app_id="large"))
        number = shared.last + 1
        one.write(changed(None, entry(f"task-{number}")))
        shared.add(number)
        await asyncio.sleep(CHANGE_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
