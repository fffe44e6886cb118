"""A scrape while 50 others scrape and 200 slow clients hold on to their connections, against one of an idle exporter.

The program, the service that it reads and the crowd each run in a process of their own. One app of 20,000 tasks that
change; what the exporter says about its collection is compared before, during and after.
"""

import asyncio
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.processes import beside
from benchmarks.report import milliseconds, show, times
from benchmarks.scraping import Scrapes, scrape
from tests.support.configurations import account, write_configuration
from tests.support.crowd import Collection, Crowd, Tally, assert_tasks_are, collection, listed_tasks, press
from tests.support.http import ask_json
from tests.support.processes import Programs, eventually

TASKS = 20_000
CHURN = 10
INTERVAL_SECONDS = 1.0
SWEEP_INTERVAL_SECONDS = 15.0
CROWD_SECONDS = 45.0
SETTLE_SECONDS = 5.0
SCRAPES = 300
PAUSE_SECONDS = 0.1
CONFIGURATION = (
    f"collection: {{interval: {INTERVAL_SECONDS:g}s, sweep_interval: {SWEEP_INTERVAL_SECONDS:g}s, stale_after: 2m}}\n"
    "metrics: {per_task: {enabled: true}}\n"
)


def main() -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory() as directory, Programs(Path(directory)) as programs:
        _, service = programs.start_simulator("--apps=1", f"--tasks={TASKS}", f"--churn={CHURN}")
        config = write_configuration(programs.directory, account(service, ["app-1"]), rest=CONFIGURATION)
        _, url = programs.start_daemon(config, "--log.level=info")
        eventually(lambda: _has_swept(url), within_seconds=120)
        idle, idle_collection, idle_seconds = _measured(url)
        loaded, loaded_collection, loaded_seconds, tally = _measured_in_a_crowd(url)
        ask_json(f"{service}/-/churn", method="POST", body={})
        listed = listed_tasks(service)
        eventually(lambda: assert_tasks_are(url, listed), within_seconds=60)
    crowd = Crowd()
    show(
        f"A scrape of {TASKS:,} tasks, idle and beside {crowd.scrapers} scrapers and "
        f"{crowd.half_open + crowd.slow_readers} slow clients",
        ("", "p50", "p99"),
        [
            ("idle", milliseconds(idle.median), milliseconds(idle.p99)),
            ("in the crowd", milliseconds(loaded.median), milliseconds(loaded.p99)),
            ("ratio", times(loaded.median / idle.median), times(loaded.p99 / idle.p99)),
        ],
        note=(
            f"The crowd's scrapers had {tally.scrapes:,} answers and {len(tally.failed)} failures; slow clients were "
            f"cut off {tally.cut_off:,} times."
        ),
    )
    show(
        "What was collected meanwhile",
        ("", "updates a second", "sweeps", "failures", "skipped", "stretch"),
        [
            _collected("idle", idle_collection, idle_seconds),
            _collected("in the crowd", loaded_collection, loaded_seconds),
        ],
        note="Afterwards the tasks, by region and mode, are those that the service lists.",
    )


def _measured(url: str) -> tuple[Scrapes, tuple[Collection, Collection], float]:
    """Return what scrapes took, and how it stood with the collection before and after, and the time between."""
    began, before = time.monotonic(), collection(url)
    scrapes = scrape(f"{url}/metrics", times=SCRAPES, pause_seconds=PAUSE_SECONDS)
    return scrapes, (before, collection(url)), time.monotonic() - began


def _measured_in_a_crowd(url: str) -> tuple[Scrapes, tuple[Collection, Collection], float, Tally]:
    """Return the same while a crowd presses, and what became of the crowd."""
    with beside(_press, url) as ours:
        time.sleep(SETTLE_SECONDS)
        measured = _measured(url)
        tally: Tally = ours.recv()
        return *measured, tally


def _press(url: str, tally: "Connection[Tally, None]") -> None:
    """Press, in a process of its own."""
    tally.send(asyncio.run(press(url, Crowd(), CROWD_SECONDS)))


def _has_swept(url: str) -> None:
    assert collection(url).sweeps >= 1


def _collected(who: str, collected: tuple[Collection, Collection], seconds: float) -> tuple[str, ...]:
    """Return the columns about a time."""
    before, after = collected
    return (
        who,
        f"{(after.updates - before.updates) / seconds:.2f}",
        str(after.sweeps - before.sweeps),
        str(after.failures - before.failures),
        str(sum(after.skipped.values()) - sum(before.skipped.values())),
        times(after.longest_stretch),
    )
