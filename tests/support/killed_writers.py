"""Writers of a state file that are killed while they write: `python -m tests.support.killed_writers FILE TIMES SEED`.

Each is a process of its own that writes one version after another. After its end the file is read: it has to be the
last version that was written, or the one that was being written. Prints what became of them, as JSON.
"""

import json
import mmap
import os
import random
import signal
import struct
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec

from exporter.collector.status import Sweep
from exporter.storage import state_file
from exporter.storage.state_file import SavedApp, SavedTask, StateFileError
from tests.metrics.builders import PLAIN

LONGEST_LIFE_SECONDS = 0.02
"""After the first write."""
TASKS = 4000
"""So that a write takes some milliseconds; their number tells versions apart as well as their times do."""
VERSIONS = 3
"""Enough to tell the one before the last from the one after it."""

_COUNTER = struct.Struct("q")


def main(file: str, times: str, seed: str) -> None:
    """Kill this many writers of a file."""
    sys.stdout.write(json.dumps(kill_writers(Path(file), int(times), random.Random(seed))) + "\n")  # noqa: S311


def kill_writers(path: Path, times: int, rng: random.Random) -> Mapping[str, int]:
    """Return how often the file was the old version, the new one, or neither, and how many files are beside it."""
    found: Counter[str] = Counter()
    written = mmap.mmap(-1, _COUNTER.size)
    contents = [state_file.encode([_version(number)]) for number in range(VERSIONS)]
    state_file.write(path, _content(contents, 0))
    for _ in range(times):
        before = _COUNTER.unpack(written)[0]
        writer = os.fork()
        if writer == 0:
            _write_for_ever(path, contents, written)
        while _COUNTER.unpack(written)[0] == before:
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, LONGEST_LIFE_SECONDS))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        last = _COUNTER.unpack(written)[0]
        found["writes"] += last - before
        found[_what_it_is(path, last)] += 1
    found["beside"] = len(state_file.unfinished_writes(path))
    return found


def _write_for_ever(path: Path, contents: list[bytes], written: mmap.mmap) -> None:
    """Write the next version again and again, and count each that is in place."""
    while True:
        number = _COUNTER.unpack(written)[0] + 1
        state_file.write(path, _content(contents, number))
        written[:] = _COUNTER.pack(number)


def _content(contents: list[bytes], number: int) -> bytes:
    """Return a version; those that there are take turns."""
    return contents[number % VERSIONS]


def _version(number: int) -> SavedApp:
    """Return one of the versions."""
    tasks = [SavedTask(f"task-{place}", "c", 0, place, b"", number, number) for place in range(TASKS + number)]
    sweep = Sweep(number, 1.0, 1, 0, 0, 0)
    return msgspec.structs.replace(_EMPTY, sweep=sweep, tasks=tasks)


def _what_it_is(path: Path, last: int) -> str:
    """Say whether the file is the last version that was in place, the one after it, or neither."""
    try:
        apps = state_file.read(path)
    except StateFileError:
        return "damaged"
    if apps is None:
        return "missing"
    (app,) = apps
    number = int(app.sweep.began)
    if len(app.tasks) != TASKS + number:
        return "damaged"
    return {last % VERSIONS: "old", (last + 1) % VERSIONS: "new"}.get(number, "lost")


_EMPTY = SavedApp("a", "https://live.example.com", "b", Sweep(0.0, 1.0, 1, 0, 0, 0), None, [PLAIN], [], [])

if __name__ == "__main__":
    main(*sys.argv[1:])
