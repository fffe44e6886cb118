"""What writing to SQLite costs a scrape: two exporters of equal services, of which one has a database, by turns."""

import signal
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.report import milliseconds, percentile, show, times
from benchmarks.scraping import Scraper
from tests.support.configurations import account, write_configuration
from tests.support.processes import Programs, eventually

APPS, TASKS, CHANGES_A_SECOND = 5, 20_000, 20
TURNS = 10
LOADS = {f"{TASKS:,} tasks written": 2.0, f"{CHANGES_A_SECOND} changes a second": 8.0}
"""What is written, and for how many seconds of a turn: after a reload first all tasks are, then what changes."""
REST_SECONDS = 1.0  # between the two
PAUSE_SECONDS = 0.005  # between scrapes
COLLECTION = "collection: {interval: 500ms, sweep_interval: 1m, stale_after: 3m}\n"
NAMES = ("without a database", "with SQLite")
SHARES = (0.5, 0.99)


class _Exporter:
    """An exporter beside a service of its own."""

    def __init__(self, programs: Programs, number: int) -> None:
        self._directory = programs.directory / str(number)
        self._directory.mkdir()
        words = f"--apps={APPS}", f"--tasks={TASKS // APPS}", f"--churn={CHANGES_A_SECOND}"
        self._account = account(programs.start_simulator(*words)[1], [f"app-{place + 1}" for place in range(APPS)])
        self._process, self.url = programs.start_daemon(self._configure("# none\n"), "--log.level=info")

    def check_ready(self) -> None:
        """Check that all apps were read, and their tasks evaluated, which takes the loop's time for a while."""
        assert (self._process.out + self._process.err).count("all tasks are evaluated") >= APPS

    def reload(self, turn: int, *, has_database: bool) -> None:
        """Write all tasks to a new database from now on, or none."""
        self._configure(f"storage: {{url: 'sqlite:{turn}.db'}}\n" if has_database else f"# {turn}\n")
        self._process.send(signal.SIGHUP)

    def _configure(self, storage: str) -> Path:
        return write_configuration(self._directory, self._account, rest=f"{COLLECTION}{storage}")


def main() -> None:
    """Scrape both alternately; each has the database in every second turn, so that nothing else differs."""
    turns: dict[str, list[Sequence[Sequence[float]]]] = {load: [] for load in LOADS}
    scrapes = 0
    with tempfile.TemporaryDirectory() as directory, Programs(Path(directory)) as programs, ExitStack() as stack:
        exporters = [_Exporter(programs, number) for number in range(2)]
        for each in exporters:
            eventually(each.check_ready, within_seconds=180)
        scrapers = [stack.enter_context(Scraper(f"{each.url}/metrics")) for each in exporters]
        for turn in range(TURNS):
            order = (0, 1) if turn % 2 else (1, 0)  # the exporter without a database, and the one that has one
            for has_database, number in enumerate(order):
                exporters[number].reload(turn, has_database=bool(has_database))
            for load, seconds in LOADS.items():
                taken = _scrape([scrapers[number] for number in order], seconds)
                turns[load].append([[percentile(each, share) for share in SHARES] for each in taken])
                scrapes += len(taken[0])
                time.sleep(REST_SECONDS)
    rows: list[Sequence[str]] = []
    for load, figures in turns.items():
        for place, name in enumerate(NAMES):
            rows.append(
                (
                    f"{load}, {name}",
                    *(milliseconds(median(each)) for each in zip(*(turn[place] for turn in figures), strict=True)),
                )
            )
        ratios = [[beside / alone for alone, beside in zip(*turn, strict=True)] for turn in figures]
        rows.append((f"{load}, ratio", *(times(median(each)) for each in zip(*ratios, strict=True))))
        rows.append(
            (
                "… in the turns",
                *(" ".join(f"{ratio:.2f}" for ratio in sorted(each)) for each in zip(*ratios, strict=True)),
            )
        )
    show(
        "A scrape while tasks and changes are written",
        ("", "p50", "p99"),
        rows,
        note=f"{TASKS:,} tasks in {APPS} apps; medians of {TURNS} turns with {scrapes // TURNS:,} scrapes each.",
    )


def _scrape(scrapers: Sequence[Scraper], seconds: float) -> list[list[float]]:
    """Return how long scrapes take, alternately of each, for some time."""
    taken: list[list[float]] = [[] for _ in scrapers]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for scraper, of_it in zip(scrapers, taken, strict=True):
            of_it.append(scraper.scrape())
            time.sleep(PAUSE_SECONDS)
    return taken
