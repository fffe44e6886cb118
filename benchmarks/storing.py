"""What writing to SQLite costs a scrape: of two exporters of equal services, scraped alternately, one has a database.

Which one has it changes with each turn, and which is scraped first with each scrape. All scrapes of a phase count
together; the interval is a bootstrap over the turns.
"""

import random
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path

from benchmarks.report import milliseconds, percentile, show, times
from benchmarks.scraping import Scraper
from tests.support.configurations import account, write_configuration
from tests.support.processes import Programs, eventually

APPS, TASKS, CHANGES_A_SECOND = 5, 20_000, 20
MOST_TURNS, MOST_SECONDS = 60, 220.0  # the services and the first sweeps take another minute
CHANGES_SECONDS = 1.0
"""How long a turn scrapes while changes are written; before that it does until all tasks are in the new database."""
REST_SECONDS = 0.3  # between the two
PAUSE_SECONDS = 0.002  # between scrapes
COLLECTION = "collection: {interval: 500ms, sweep_interval: 1m, stale_after: 3m}\n"
PHASES = (f"{TASKS:,} tasks", f"{CHANGES_A_SECOND} changes a second")
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
RESAMPLES = 1000

Turn = Sequence[Sequence[float]]
"""How long scrapes took without a database, and with one."""


class _Exporter:
    """An exporter beside a service of its own."""

    def __init__(self, programs: Programs, number: int) -> None:
        self._directory = programs.directory / str(number)
        self._directory.mkdir()
        words = f"--apps={APPS}", f"--tasks={TASKS // APPS}", f"--churn={CHANGES_A_SECOND}"
        self._account = account(programs.start_simulator(*words)[1], [f"app-{place + 1}" for place in range(APPS)])
        self._process, self.url = programs.start_daemon(self._configure("# none\n"), "--log.level=info")
        self._database = Path()

    def check_ready(self) -> None:
        """Check that all apps were read, and their tasks evaluated, which takes the loop's time for a while."""
        assert (self._process.out + self._process.err).count("all tasks are evaluated") >= APPS

    def reload(self, turn: int, *, has_database: bool) -> None:
        """Write all tasks to a new database from now on, or none."""
        self._database = self._directory / f"{turn}.db"
        self._configure(f"storage: {{url: 'sqlite:{turn}.db'}}\n" if has_database else f"# {turn}\n")
        self._process.send(signal.SIGHUP)

    def apps_written(self) -> int:
        """Return how many apps are in the database; -1: it has no table yet."""
        try:
            with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as connection:
                return int(connection.execute("SELECT count(*) FROM apps WHERE shape != ''").fetchone()[0])
        except sqlite3.OperationalError:
            return -1

    def has_written(self) -> bool:
        """Whether the database has all apps."""
        return self.apps_written() == APPS

    def _configure(self, storage: str) -> Path:
        return write_configuration(self._directory, self._account, rest=f"{COLLECTION}{storage}")


def main() -> None:
    """Print quantiles of all scrapes of a phase, and their ratio."""
    phases: Sequence[list[Turn]] = ([], [])
    with tempfile.TemporaryDirectory() as directory, Programs(Path(directory)) as programs, ExitStack() as stack:
        exporters = [_Exporter(programs, number) for number in range(2)]
        for each in exporters:
            eventually(each.check_ready, within_seconds=180)
        scrapers = [stack.enter_context(Scraper(f"{each.url}/metrics")) for each in exporters]
        until = time.monotonic() + MOST_SECONDS
        while len(phases[0]) < MOST_TURNS and time.monotonic() < until:
            turn = len(phases[0])
            order = (0, 1) if turn % 2 else (1, 0)  # the exporter without a database, and the one that has one
            for has_database, number in enumerate(order):
                exporters[number].reload(turn, has_database=bool(has_database))
            scraped, stored = [scrapers[number] for number in order], exporters[order[1]]
            while stored.apps_written() < 0:  # until here they reload, which costs both the same
                time.sleep(PAUSE_SECONDS)
            phases[0].append(_scrape(scraped, stored.has_written))
            time.sleep(REST_SECONDS)
            phases[1].append(_scrape(scraped, _after(CHANGES_SECONDS)))
    rows = list(chain.from_iterable(map(_rows, PHASES, phases)))
    show(
        "How long a scrape takes while this is written",
        ("", "scrapes of each", "no database", "SQLite", "ratio", "95 % of resamples"),
        rows,
        note=f"Two exporters on one machine, {TASKS:,} tasks in {APPS} apps each, {len(phases[0])} turns.",
    )


def _after(seconds: float) -> Callable[[], bool]:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() >= until


def _scrape(scrapers: Sequence[Scraper], is_over: Callable[[], bool]) -> Turn:
    """Return how long scrapes take, by turns of each, until a phase is over."""
    taken: Sequence[list[float]] = [[] for _ in scrapers]
    pairs = list(zip(scrapers, taken, strict=True))
    while not is_over():
        pairs.reverse()
        for scraper, of_it in pairs:
            of_it.append(scraper.scrape())
            time.sleep(PAUSE_SECONDS)
    return taken


def _rows(phase: str, turns: Sequence[Turn]) -> list[Sequence[str]]:
    rng = random.Random(1)  # noqa: S311 - no secret
    drawn = [_quantiles(rng.choices(turns, k=len(turns))) for _ in range(RESAMPLES)]
    rows: list[Sequence[str]] = []
    for name, (alone, stored) in _quantiles(turns).items():
        ratios = sorted(each[name][1] / each[name][0] for each in drawn)
        low, high = (times(percentile(ratios, share)) for share in (0.025, 0.975))
        scrapes = sum(len(turn[0]) for turn in turns)
        figures = milliseconds(alone), milliseconds(stored), times(stored / alone), f"{low} to {high}"
        rows.append((f"{phase}, {name}", f"{scrapes:,}", *figures))
    return rows


def _quantiles(turns: Sequence[Turn]) -> Mapping[str, Sequence[float]]:
    """Return quantiles of all scrapes of some turns, without a database and with one."""
    pooled = [sorted(chain.from_iterable(each)) for each in zip(*turns, strict=True)]
    return {name: [percentile(each, share) for each in pooled] for name, share in SHARES.items()}
