"""Three exporters share six accounts, whatever happens to one of them or to the database."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import pytest
from sqlalchemy import create_engine, text

from tests.processes.sharing_world import CountingService, Proxy, counting_service
from tests.support.http import ask, ask_json
from tests.support.postgresql import PostgreSQL, postgresql
from tests.support.processes import Programs, Running, eventually, starved_seconds

pytestmark = pytest.mark.processes

APPS = {f"app-{number}": 30 for number in range(6)}
RATE, FALLBACK, EXPORTERS = 5, 1, 3
LEASE_SECONDS = 4.0
WATCH_SECONDS = 0.2
FRESH_SECONDS = LEASE_SECONDS + 3.0
"""What docs/scaling.md promises; to it comes the time for which the exporters waited for a processor."""
FIRST = 60
"""MaxIdleTime of all tasks before the first change."""
ROUNDS = 4 if os.environ.get("CI") else 1
CONFIGURATION = """\
accounts:
{accounts}
collection: {{interval: 200ms, sweep_interval: 1s, stale_after: 60s}}
storage: {{url: "{database}"}}
sharing: {{exporters: 3, lease: 4s, fallback_requests_per_second: 1, advertise: "http://exporter-{number}.example.com"}}
policy: {{rule_files: [rules.yml], default_rules: false}}
"""
RULES = "rules:\n- {name: short, title: Short, severity: warning, expect: 'task.idle_timeout_seconds < 10'}\n"


class Exporter:
    """One of the exporters, and its way to the database."""

    def __init__(self, world: "World", number: int) -> None:
        self._world = world
        self.number = number
        database = urlsplit(world.database)
        self.proxy = Proxy(database.port or 0)
        accounts = "\n".join(
            f"- {{name: account-{app}, endpoint: '{world.service.url}', requests_per_second: {RATE},"
            f" credentials: {{access_key_id: key-{app}, access_key_secret: s}}, apps: [{{id: {app}}}]}}"
            for app in APPS
        )
        self._config = world.programs.directory / f"rtcmpu-{number}.yml"
        url = database._replace(netloc=f"postgres@127.0.0.1:{self.proxy.port}").geturl()
        self._config.write_text(CONFIGURATION.format(accounts=accounts, database=url, number=number))
        self.running: Running
        self.start()

    def start(self) -> None:
        self.running, self.url = self._world.programs.start_daemon(self._config)

    def updated(self) -> dict[str, float]:
        """Return when each app that it publishes was updated last."""
        try:
            exposition = ask(f"{self.url}/metrics", seconds=2).text
        except OSError:
            return {}
        name = "rtcmpu_collection_last_update_timestamp_seconds{"
        lines = [line for line in exposition.splitlines() if line.startswith(name)]
        return {line.partition('app_id="')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in lines}


class World:
    """All of it."""

    def __init__(self, programs: Programs, service: CountingService, server: PostgreSQL, directory: Path) -> None:
        self.programs, self.service, self.server = programs, service, server
        self.database = server.new_database()
        (directory / "rules.yml").write_text(RULES)
        self.exporters = [Exporter(self, number) for number in range(EXPORTERS)]
        self._starved: dict[int, float] = {}
        self.changes = FIRST
        self.wait_until_fresh(within_seconds=90)
        eventually(self.is_balanced)

    def wait_until_fresh(self, *, within_seconds: float, without: Exporter | None = None) -> float:
        """Wait until each app was updated after now by an exporter that can be asked; return how long it took."""
        began, wall, starved = time.monotonic(), time.time(), self.starved_seconds()

        def is_late() -> bool:
            return time.monotonic() - began > within_seconds + self.starved_seconds() - starved

        def check() -> None:
            fresh = set[str]()
            for each in self.exporters:
                if each is not without:
                    fresh |= {app for app, updated in each.updated().items() if updated > wall}
            assert fresh == APPS.keys(), f"not fresh: {APPS.keys() - fresh}"

        eventually(check, unless=is_late)
        return time.monotonic() - began

    def starved_seconds(self) -> float:
        """Return for how long all exporters and the test together have waited for a processor so far."""
        for pid in (os.getpid(), *(each.running.pid for each in self.exporters)):
            self._starved[pid] = max(starved_seconds(pid), self._starved.get(pid, 0.0))
        return sum(self._starved.values())

    def is_balanced(self) -> None:
        """Check that each exporter publishes two apps, and no two the same."""
        for each in self.exporters:
            each.running.check_that_it_runs()
        published = [each.updated().keys() for each in self.exporters]
        assert [len(each) for each in published] == [2, 2, 2], published
        assert set().union(*published) == APPS.keys()

    @contextmanager
    def watched(self) -> Iterator[dict[str, float]]:
        """Scrape all exporters meanwhile; yields for how long each app was on none of them at most.

        Time for which they waited for a processor does not count.
        """
        gaps, seen = dict.fromkeys(APPS, 0.0), dict.fromkeys(APPS, time.monotonic() - self.starved_seconds())
        done = Event()

        def watch() -> None:
            while not done.wait(WATCH_SECONDS):
                published = set[str]().union(*(each.updated() for each in self.exporters))
                now = time.monotonic() - self.starved_seconds()
                gaps.update({app: max(gap, now - seen[app]) for app, gap in gaps.items() if app not in published})
                seen.update(dict.fromkeys(published, now))

        watcher = Thread(target=watch)
        watcher.start()
        try:
            yield gaps
        finally:
            done.set()
            watcher.join()

    def has_exact_history(self) -> None:
        """Check that each change is in the database once."""
        counted = "SELECT app_id, fields, count(*) FROM changes WHERE change = 'modified' GROUP BY 1, 2"
        assert [count for *_, count in self.rows(counted)] == [1] * (self.changes - FIRST) * len(APPS)

    def change_all(self) -> None:
        self.changes += 1
        for app in APPS:
            self.service.change(app, self.changes)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        engine = create_engine(self.database)
        try:
            with engine.connect() as connection:
                return [tuple(row) for row in connection.execute(text(query))]
        finally:
            engine.dispose()


@contextmanager
def killed(_world: World, exporter: Exporter) -> Iterator[None]:
    """Kill one, and start it again."""
    exporter.running.send(signal.SIGKILL)
    exporter.running.ended(within_seconds=10)
    yield
    exporter.start()


@contextmanager
def stopped(_world: World, exporter: Exporter) -> Iterator[None]:
    """Let one stand still for longer than its lease."""
    exporter.running.send(signal.SIGSTOP)
    try:
        yield
    finally:
        exporter.running.send(signal.SIGCONT)


@contextmanager
def terminated(_world: World, exporter: Exporter) -> Iterator[None]:
    """End one gracefully, and start it again."""
    exporter.running.send(signal.SIGTERM)
    yield
    exporter.running.ended(within_seconds=30)
    exporter.start()


@contextmanager
def partitioned(_world: World, exporter: Exporter) -> Iterator[None]:
    """Cut one off from the database for longer than its lease."""
    exporter.proxy.cut()
    try:
        yield
    finally:
        exporter.proxy.heal()


@contextmanager
def database_restarted(world: World, _exporter: Exporter) -> Iterator[None]:
    """Restart the database."""
    world.server.stop("fast")
    world.server.start()
    yield


FAULTS: list[Callable[[World, Exporter], AbstractContextManager[None]]] = [
    killed,
    stopped,
    terminated,
    partitioned,
    database_restarted,
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The database, the service and three exporters."""
    directory = tmp_path_factory.mktemp("sharing")
    with counting_service(APPS) as service, postgresql() as server, Programs(directory, wait_a_window=True) as programs:
        made = World(programs, service, server, directory)
        yield made
        for each in made.exporters:
            each.running.send(signal.SIGCONT)
            each.proxy.close()


def test_one_exporter_at_a_time_reads_with_each_budget_whatever_happens(world: World) -> None:
    """Over all faults no budget is exceeded, apps are fresh again in time, and history stays exact."""
    began = time.monotonic()
    for number in range(ROUNDS * len(FAULTS)):
        fault, victim = FAULTS[number % len(FAULTS)], world.exporters[number % EXPORTERS]
        with fault(world, victim):
            world.change_all()
            others = None if fault is database_restarted else victim
            took = world.wait_until_fresh(within_seconds=FRESH_SECONDS, without=others)
            if fault in {stopped, partitioned}:
                time.sleep(max(0.0, LEASE_SECONDS + 1 - took))
        eventually(world.is_balanced)
        world.wait_until_fresh(within_seconds=90)
        eventually(world.has_exact_history)
    most = {app: world.service.most_in_a_second(f"key-{app}", began) for app in APPS}
    allowed = RATE + (EXPORTERS - 1) * FALLBACK
    assert max(most.values()) <= allowed + 1, most  # one that is in flight when a process stands still
    assert world.rows("SELECT count(*), count(resolved) FROM violations") == [(sum(APPS.values()), 0)]


def test_a_rolling_update_leaves_no_app_without_series(world: World) -> None:
    """While all exporters are replaced one after the other, no app is missing from all scrapes for two seconds."""
    with world.watched() as gaps:
        for exporter in world.exporters:
            with terminated(world, exporter):
                pass
            eventually(lambda exporter=exporter: _is_ready(exporter))  # type: ignore[misc]
        eventually(world.is_balanced)
    assert max(gaps.values()) <= 2.0, gaps


def test_an_exporter_that_starts_without_the_database_waits_for_it(world: World) -> None:
    """It reads nothing, says why it is not ready, links to nobody, and gets its share once the database is there."""
    exporter = world.exporters[0]
    with terminated(world, exporter):
        world.wait_until_fresh(within_seconds=90, without=exporter)
        exporter.proxy.cut()
    answer = ask(f"{exporter.url}/-/ready")
    assert (answer.status, "database" in answer.text) == (503, True)
    apps = ask_json(f"{exporter.url}/api/v1/apps")["apps"]
    assert {app["collected_by"] for app in apps} == {""}
    assert exporter.updated() == {}
    exporter.proxy.heal()
    eventually(world.is_balanced)

    def links() -> None:
        apps = ask_json(f"{exporter.url}/api/v1/apps")["apps"]
        holders = sorted(str(app["collected_by"]) for app in apps)
        others = ["http://exporter-1.example.com", "http://exporter-2.example.com"]
        assert holders == ["None", "None", *sorted(2 * others)]

    eventually(links)
    eventually(lambda: _is_ready(exporter))


def _is_ready(exporter: Exporter) -> None:
    assert ask(f"{exporter.url}/-/ready").status == 200
