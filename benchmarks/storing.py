"""What writing to the database costs a scrape: two exporters of equal services in turns, one of them with SQLite."""

import signal
import tempfile
import time
from pathlib import Path

from benchmarks.report import milliseconds, percentile, show, times
from benchmarks.scraping import scrape
from tests.support.configurations import account, write_configuration
from tests.support.processes import Programs, eventually

APPS, TASKS, CHANGES_A_SECOND = 5, 20_000, 20
ROUNDS, SCRAPES = 20, 25
REST_SECONDS = 2.0
LONGEST_SECONDS = 90.0  # for each load; a busy machine makes fewer rounds
COLLECTION = "collection: {interval: 500ms, sweep_interval: 1m, stale_after: 3m}\n"
NAMES = ("without a database", "with SQLite")
LOADS = {False: f"{CHANGES_A_SECOND} changes a second", True: f"{TASKS:,} tasks after a reload"}
SHARES = (0.5, 0.99)


class _Exporter:
    """An exporter beside a service of its own."""

    def __init__(self, programs: Programs, number: int) -> None:
        directory = programs.directory / str(number)
        directory.mkdir()
        words = f"--apps={APPS}", f"--tasks={TASKS // APPS}", f"--churn={CHANGES_A_SECOND}"
        self._account = account(programs.start_simulator(*words)[1], [f"app-{place + 1}" for place in range(APPS)])
        self._directory = directory
        self._has_database = number == 1
        self._databases = 0
        self._process, self.url = programs.start_daemon(self._configure(), "--log.level=info")

    def check_ready(self) -> None:
        """Check that all apps were read, and their tasks evaluated, which takes the loop's time for a while."""
        assert (self._process.out + self._process.err).count("all tasks are evaluated") >= APPS

    def scrape(self, *, all_tasks: bool) -> tuple[float, ...]:
        """Return how long scrapes take after a reload, which makes another database and writes all tasks to it."""
        if all_tasks:
            self._configure()
            self._process.send(signal.SIGHUP)
        return scrape(f"{self.url}/metrics", times=SCRAPES, pause_seconds=0.02).seconds

    def _configure(self) -> Path:
        self._databases += 1
        name = f"{self._databases % 2}.db"
        for path in self._directory.glob(f"{name}*"):
            path.unlink()
        storage = f"storage: {{url: 'sqlite:{name}'}}\n" if self._has_database else f"# {name}\n"
        return write_configuration(self._directory, self._account, rest=f"{COLLECTION}{storage}")


def main() -> None:
    """Scrape both in turns, while changes are written and while all tasks are."""
    measured: dict[tuple[bool, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as directory, Programs(Path(directory)) as programs:
        exporters = [_Exporter(programs, number) for number in range(2)]
        for each in exporters:
            eventually(each.check_ready, within_seconds=180)
        for all_tasks in LOADS:
            until = time.monotonic() + LONGEST_SECONDS
            for place in range(ROUNDS):
                for number in (0, 1) if place % 2 else (1, 0):
                    measured.setdefault((all_tasks, number), []).extend(exporters[number].scrape(all_tasks=all_tasks))
                    time.sleep(REST_SECONDS if all_tasks else 0)  # until all is written: the next scrape is the other's
                if time.monotonic() > until:
                    break
    rows = []
    for all_tasks, load in LOADS.items():
        both = [[percentile(measured[all_tasks, number], share) for share in SHARES] for number in range(2)]
        rows += [(f"{load}, {name}", *map(milliseconds, figures)) for name, figures in zip(NAMES, both, strict=True)]
        rows.append((f"{load}, ratio", *(times(beside / alone) for alone, beside in zip(*both, strict=True))))
    show(
        "A scrape while changes, or all tasks, are collected and written",
        ("", "p50", "p99"),
        rows,
        note=f"{TASKS:,} tasks in {APPS} apps; {' and '.join(str(len(each)) for each in measured.values())} scrapes.",
    )
