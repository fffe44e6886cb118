"""Tests of the daemon as a whole, in this process: readiness, health, reloads, what it answers, and its end."""

import asyncio
import json
import random
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import pytest
import structlog

from exporter.collector.past import HistoryFilter, SavedApp
from exporter.config.mistakes import ConfigError, Mistake, Position
from exporter.config.model import Config, Metrics, PerTask, Storage
from exporter.core.secret import Secret
from exporter.metrics.exposition import Exposition
from exporter.metrics.self_metrics import SelfMetrics
from exporter.rules.rule_loader import ConfigurationSource, LoadedRules
from exporter.rules.rule_set import RuleSet
from exporter.service import daemon, supervisor
from exporter.service.daemon import LONGEST_START_SECONDS, STUCK_SECONDS, Daemon, Options
from exporter.service.monitor import Monitor
from exporter.service.process import Watchdog
from exporter.service.recorder import Recorder
from exporter.storage.database import Database, sqlite_path
from exporter.storage.tables import VIOLATIONS
from exporter.storage.writer import Batch, Waiting
from exporter.web.http_server import ListenError
from tests.storage.test_database import rows
from tests.support.certificates import HASH, PASSWORD
from tests.support.http import Answer, ask, basic_auth
from tests.support.monitored import AheadClock, Simulated, app_ids, config, sample, simulated, until
from tests.support.policy_world import rule, rule_set
from tests.support.processes import free_port
from tests.support.virtual_time import hanging_call

pytestmark = pytest.mark.usefixtures("no_process_before")

EPHEMERAL = Options(listen_addresses=("127.0.0.1:0",))


@pytest.fixture(autouse=True)
def _often_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish everything, and look at the clock, several times a second."""
    for pause in ("BEAT_SECONDS", "PUBLISH_OWN_PAUSE_SECONDS", "PUBLISH_TASKS_PAUSE_SECONDS"):
        monkeypatch.setattr(daemon, pause, 0.1)


class Started:
    """A daemon that runs as a task, with a configuration that a test can exchange."""

    def __init__(
        self, first: Config | ConfigError, options: Options = EPHEMERAL, watchdog: Watchdog | None = None
    ) -> None:
        self.next = first
        self.rule_set = RuleSet.empty()
        self.loads = 0
        self.clock = AheadClock()
        metrics = SelfMetrics(version="0")
        rng = random.Random(1)  # noqa: S311 - no secret
        source = ConfigurationSource(self._load)
        self.daemon = Daemon(source, options, metrics, clock=self.clock, rng=rng, watchdog=watchdog)
        self.running = asyncio.create_task(self.daemon.run())

    async def ask(self, path: str, user: str | None = None) -> Answer:
        """Ask over HTTP, without holding up the daemon."""
        headers = {} if user is None else basic_auth(user, PASSWORD)
        return await asyncio.to_thread(ask, f"http://{self.daemon.addresses[0]}{path}", headers=headers)

    async def metrics(self) -> str:
        answer = await self.ask("/metrics")
        assert answer.status == 200
        return answer.text

    async def until_data_of(self, *apps: str) -> None:
        """Wait until exactly these apps have tasks that are published."""

        async def are_there() -> bool:
            return app_ids(await self.metrics(), "rtcmpu_tasks") == set(apps)

        await until(are_there)

    async def until_sample(self, value: float | None, name: str, **labels: str) -> str:
        """Wait until a sample has a value; return the exposition that has it."""

        async def published() -> str:
            text = await self.metrics()
            found = sample(text, name, **labels)
            assert found == value, f"{name}{labels} is {found}, not {value}"
            return text

        text: str = await until(published)
        return text

    def _load(self) -> LoadedRules:
        self.loads += 1
        if isinstance(self.next, ConfigError):
            raise self.next
        return LoadedRules(config=self.next, files=(), globs=(), sha256=f"digest-{self.loads}", rule_set=self.rule_set)


def started(first: Config, options: Options = EPHEMERAL) -> AbstractAsyncContextManager[Started]:
    """Run a daemon, and end it whatever happens."""
    return running(Started(first, options))


@asynccontextmanager
async def running(one: Started) -> AsyncIterator[Started]:
    """Wait until a daemon listens, and end it whatever happens."""
    try:
        await one.daemon.wait_until_listening(one.running)
        yield one
    finally:
        one.daemon.stop()
        await asyncio.wait_for(one.running, timeout=60)


def _mistaken() -> ConfigError:
    """Return the error of a file with two mistakes."""
    places = (Position(0, "rtcmpu.yml", 1, 2), Position(0, "rtcmpu.yml", 3, 4))
    return ConfigError([Mistake(place, f"unknown key {key}") for place, key in zip(places, "ab", strict=True)])


def _storage(directory: Path) -> Storage:
    return Storage(url=Secret(f"sqlite:{directory / 'rtcmpu.db'}"))


async def test_it_is_ready_when_every_app_has_finished_an_attempt(simulator: Simulated) -> None:
    """Until then it says how many are missing; an attempt that fails counts as well as one that succeeds."""
    async with started(simulator.config("app-1", "app-2", "nobodys")) as one:
        assert one.daemon.ready() == "3 of 3 apps wait for their first sweep"
        await one.until_data_of("app-1", "app-2")
        text = await one.until_sample(1, "rtcmpu_collection_state", app_id="nobodys", state="app_invalid")
        assert one.daemon.ready() is None
        assert sample(text, "rtcmpu_up", app_id="app-1") == 1
        assert (await one.ask("/-/ready")).text == "ready\n"


async def test_it_is_ready_after_a_minute_whatever_the_service_does() -> None:
    """A service that never answers does not keep it from being ready forever, and never makes it unhealthy."""
    async with simulated(faults=["hang"], longest_hang_seconds=5) as hanging, started(hanging.config("app-1")) as one:
        answer = await one.ask("/-/ready")
        assert (answer.status, answer.text) == (503, "1 of 1 apps wait for their first sweep\n")
        one.clock.ahead_seconds += one.daemon._began + LONGEST_START_SECONDS - 1 - one.clock.monotonic()
        assert one.daemon.ready() is not None
        one.clock.ahead_seconds += 1
        assert one.daemon.ready() is None
        await until(lambda: one.daemon.healthy() is None)


async def test_it_is_healthy_while_its_loop_beats(simulator: Simulated) -> None:
    """A loop that is not heard of for long makes it unhealthy, until it beats again; failing apps never do."""
    async with started(simulator.config("nobodys")) as one:
        await until(lambda: one.daemon.ready() is None)
        assert (await one.ask("/-/healthy")).status == 200

        one.clock.ahead_seconds = STUCK_SECONDS + 2
        silent = re.fullmatch(r"the event loop has not beaten for (\d+) s", one.daemon.healthy() or "")
        assert silent
        assert STUCK_SECONDS + 2 <= int(silent[1]) < 2 * STUCK_SECONDS
        await until(lambda: one.daemon.healthy() is None)


async def test_its_watchdog_is_fed_with_each_beat_until_the_end(
    simulator: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a healthy process would be ended; after the stop nothing waits for a beat any more."""
    calls: list[str] = []
    monkeypatch.setattr(daemon, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(Watchdog, "feed", lambda _: calls.append("feed"))
    monkeypatch.setattr(Watchdog, "stop", lambda _: calls.append("stop"))
    async with running(Started(simulator.config("nobodys"), watchdog=Watchdog(60.0))):
        await until(lambda: len(calls) >= 3)
    assert calls == ["feed"] * (len(calls) - 1) + ["stop"]


async def test_when_it_stops_it_is_not_ready_and_ends(simulator: Simulated) -> None:
    """After a stop it says so, and is gone in time."""
    async with started(simulator.config("app-1")) as one:
        await one.until_data_of("app-1")
        address = f"http://{one.daemon.addresses[0]}/metrics"
        one.daemon.stop()
        assert one.daemon.ready() == "it is stopping"
        await asyncio.wait_for(one.running, timeout=20)
        with pytest.raises(OSError, match="refused"):
            await asyncio.to_thread(ask, address)


@pytest.mark.parametrize("fails", ["publish_own_off_loop", "publish_off_loop"])
async def test_a_reload_ends_what_it_removed_whatever_fails(
    simulator: Simulated, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """A bug in one kind of publication keeps nothing of the other, and nothing removed, alive."""
    done: list[str] = []

    def step(name: str) -> Callable[[object], Coroutine[Any, Any, None]]:
        async def run(_: object) -> None:
            if name == fails:
                raise LookupError
            done.append(name)

        return run

    async with started(simulator.config("app-1", "app-2")) as one:
        one.next = simulator.config("app-1")
        steps = ((Exposition, "publish_own_off_loop"), (Exposition, "publish_off_loop"), (Monitor, "close_removed"))
        with monkeypatch.context() as patch:
            for owner, name in steps:
                patch.setattr(owner, name, step(name))
            assert await one.daemon.reload() is None
        assert {name for _, name in steps} - {fails} <= set(done)


async def test_the_web_configuration_is_followed_and_reloaded(
    simulator: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change counts by itself; one that drops all users is refused, and a reload says why."""
    monkeypatch.setattr(daemon, "WATCH_SECONDS", 0.02)
    file = tmp_path / "web.yml"
    options = Options(listen_addresses=("127.0.0.1:0",), web_config_file=file)

    def write(text: str) -> None:
        file.write_text(text)

    async def is_let_in() -> bool:
        return (await one.ask("/metrics", "bob")).status == 200

    write(f"basic_auth_users: {{alice: {HASH}}}\n")
    async with started(simulator.config("app-1"), options) as one:
        assert not await is_let_in()
        write(f"basic_auth_users: {{bob: {HASH}}}\n")
        await until(is_let_in)
        write("rate_limit: {interval: 1s, burst: 100}\n")
        reason = await one.daemon.reload()
        assert reason is not None
        assert reason.startswith("basic_auth_users is missing")
        assert (await one.ask("/metrics")).status == 401
        text = (await one.ask("/metrics", "bob")).text
        assert sample(text, "rtcmpu_exporter_web_config_last_reload_successful") == 0
        assert sample(text, "rtcmpu_exporter_config_last_reload_successful") == 1
        write(f"basic_auth_users: {{bob: {HASH}}}\n")
        assert await one.daemon.reload() is None
        text = (await one.ask("/metrics", "bob")).text
        assert sample(text, "rtcmpu_exporter_web_config_last_reload_successful") == 1


async def test_reloads_that_come_together_do_not_mix(simulator: Simulated) -> None:
    """Of several reloads at once the last one holds, wholly: each app is read once, nothing is left of the others."""
    async with started(simulator.config("app-1", "app-2", "app-3")) as one:
        await one.until_data_of("app-1", "app-2", "app-3")
        for app in one.daemon._monitor.apps.values():
            app.swept()  # what is let go has something to end, which takes a while
        reloads: list[asyncio.Task[str | None]] = []
        for apps in (("app-2",), ("app-3", "app-1"), ("app-1", "app-2")):
            one.next = config(simulator.account(*apps, requests_per_second=10 + len(reloads)))
            reloads.append(asyncio.create_task(one.daemon.reload()))
            await asyncio.sleep(0)
        await asyncio.gather(*reloads)

        assert [view.status.app_id for view in one.daemon.view.statuses()] == ["app-1", "app-2"]
        scheduled = sorted((collector.app.id, kind) for collector, kind in one.daemon._monitor._schedule._jobs)
        assert scheduled == [(app, kind) for app in ("app-1", "app-2") for kind in ("sweep", "update")]
        await one.until_data_of("app-1", "app-2")
        assert 'app_id="app-3"' not in await one.metrics()


def _threads(name: str) -> list[threading.Thread]:
    """Return the threads of a name."""
    return [thread for thread in threading.enumerate() if thread.name == name]


async def test_it_can_be_stopped_while_it_starts(tmp_path: Path) -> None:
    """A configuration or a state that a file system never gives keeps neither a stop nor the next start waiting."""
    with hanging_call() as hang:
        for thread, where in (
            ("write database", "exporter.storage.database.Database.load"),
            ("read configuration", "tests.service.test_daemon.Started._load"),
        ):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(where, hang)
                patch.setattr("exporter.service.recorder.LONGEST_LAST_WRITE_SECONDS", 0.1)
                one = Started(Config(accounts=(), storage=_storage(tmp_path)))
                await until(partial(_threads, thread))
                assert not one.running.done()
                one.daemon.stop()
                await asyncio.wait_for(one.running, timeout=20)


async def test_a_stop_before_it_listens_closes_its_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is left as after any other stop: without a log that is to be applied to it."""
    starting = asyncio.Event()

    async def hang(*_arguments: object, **_options: object) -> None:
        starting.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("exporter.web.http_server.start", hang)
    one = Started(Config(accounts=(), storage=Storage(url=Secret(f"sqlite:{tmp_path / 'rtcmpu.db'}"))))
    await starting.wait()
    one.daemon.stop()
    await one.running
    assert await asyncio.to_thread(lambda: [path.name for path in tmp_path.iterdir()]) == ["rtcmpu.db"]


async def test_an_exporter_that_cant_listen_leaves_the_database_alone(tmp_path: Path) -> None:
    """A second start by mistake ends no violation in the history of the exporter that has the address.

    What it listened on already is given back.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = free_port()
        options = Options(listen_addresses=(f"127.0.0.1:{free}", f"127.0.0.1:{taken.getsockname()[1]}"))
        one = Started(Config(accounts=(), storage=_storage(tmp_path / "state")), options)
        with pytest.raises(ListenError):
            await one.running
        socket.create_server(("127.0.0.1", free)).close()
    assert not await asyncio.to_thread((tmp_path / "state").exists)


async def test_a_file_system_that_does_not_answer_stops_no_reload_for_ever(simulator: Simulated) -> None:
    """A reload that can't read is refused with a sentence, the next ones too, and the first that can takes effect."""
    async with started(simulator.config("app-1")) as one:
        with hanging_call() as hang, pytest.MonkeyPatch.context() as patch:
            patch.setattr("exporter.service.daemon.LONGEST_READ_SECONDS", 0.2)
            patch.setattr(one.daemon._source, "_read", hang)
            for _ in range(2):
                assert "can't be read within" in (await one.daemon.reload() or "")
            assert sample(await one.metrics(), "rtcmpu_exporter_config_last_reload_successful") == 0
        await until(lambda: not _threads("read configuration"))
        assert await one.daemon.reload() is None


async def test_changes_are_in_the_database(simulator: Simulated, tmp_path: Path) -> None:
    """Tasks and changes are written, and the exporter says how the database is; a reload can move to another one."""
    storage = _storage(tmp_path)
    first = config(simulator.account("app-1")).changed(storage=storage)
    async with started(first) as one:
        await one.until_data_of("app-1")
        simulator.service.fleet.create("app-1", {"TaskId": "new", "AppId": "app-1"})
        await one.until_sample(1, "rtcmpu_task_changes_total", change="added")
        simulator.service.fleet.update("app-1", "new", {"Region": "EMAA-Saudi"})
        await one.until_sample(1, "rtcmpu_task_changes_total", change="modified")

        async def is_written() -> bool:
            text = await one.metrics()
            up, lag, size = (
                sample(text, f"rtcmpu_exporter_storage_{name}") for name in ("up", "write_lag_seconds", "size_bytes")
            )
            return (up, lag) == (1, 0) and (size or 0) > 0

        async def is_recorded() -> bool:
            changes = await one.daemon._recorder.past.changes(HistoryFilter(app_id="app-1", task_id="new"))
            noted = [(change.change, change.notes) for change in changes]
            return noted == [("modified", ("probably_restarted",)), ("added", ())]

        await until(is_recorded)
        await until(is_written)
        one.next = first.changed(storage=_storage(tmp_path / "other"))
        assert await one.daemon.reload() is None
        one.next = config(simulator.account("app-1"))
        assert await one.daemon.reload() is None
        assert sample(await one.metrics(), "rtcmpu_exporter_storage_up") is None
    for directory in (tmp_path, tmp_path / "other"):
        database = Database(_storage(directory).url.reveal())
        (saved,) = database.load()
        database.close()
        assert "new" in [entry.task.task_id for entry in saved.entries]


async def test_a_writer_that_fails_goes_on(
    simulator: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its exceptions are counted as those of every other part, and what comes later is written."""
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_SECONDS", 0.01)
    make_batch, failures = Recorder._batch_of, [ValueError("a bug")]

    def fail_once(recorder: Recorder, new: Waiting, stored: SavedApp | None) -> Batch | None:
        if failures:
            raise failures.pop()
        return make_batch(recorder, new, stored)

    monkeypatch.setattr(Recorder, "_batch_of", fail_once)
    async with started(config(simulator.account("app-1")).changed(storage=_storage(tmp_path))) as one:
        await one.until_data_of("app-1")
        await one.until_sample(1, "rtcmpu_exporter_internal_errors_total", part="storage")
        simulator.service.fleet.create("app-1", {"TaskId": "new", "AppId": "app-1"})
        await until(lambda: one.daemon._recorder.past.changes(HistoryFilter(task_id="new")))


async def test_a_database_whose_file_is_removed_begins_anew(
    simulator: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All tasks are written to a new file, and the history is read from it."""
    monkeypatch.setattr("exporter.storage.writer.MAINTAIN_SECONDS", 0.1)
    storage = _storage(tmp_path)
    async with started(config(simulator.account("app-1")).changed(storage=storage)) as one:
        await one.until_data_of("app-1")
        recorder = one.daemon._recorder
        writer = recorder.writer
        assert writer is not None
        await until(lambda: writer.up and writer.lag_seconds == 0)
        assert await recorder.past.apps() == [("production", "app-1")]
        path = sqlite_path(storage.url.reveal())
        assert path is not None
        path.unlink()
        await until(path.exists)
        await until(lambda: writer.up)
        simulator.service.fleet.create("app-1", {"TaskId": "new", "AppId": "app-1"})
        await until(lambda: recorder.past.changes(HistoryFilter(task_id="new")))
    with closing(Database(storage.url.reveal())) as database:
        (saved,) = database.load()
    assert {entry.task.task_id for entry in saved.entries} == {
        json.loads(body)["TaskId"] for body in simulator.service.fleet.bodies("app-1")
    }


async def test_a_database_that_is_away_stops_nothing(simulator: Simulated, tmp_path: Path) -> None:
    """The start goes on, data is collected and published, and the exporter says that the database is not there."""
    (tmp_path / "state").write_text("a file where a directory is expected")
    async with started(config(simulator.account("app-1")).changed(storage=_storage(tmp_path / "state"))) as one:
        await one.until_data_of("app-1")

        async def is_said() -> bool:
            text = await one.metrics()
            lag = sample(text, "rtcmpu_exporter_storage_write_lag_seconds")
            return sample(text, "rtcmpu_exporter_storage_up") == 0 and (lag or 0) > 0

        await until(is_said)


async def test_a_database_that_comes_back_after_the_start_is_compared(simulator: Simulated, tmp_path: Path) -> None:
    """What changed while nothing was written is recorded between two times, and violations are as old as stored."""
    state, aside = tmp_path / "state", tmp_path / "aside"
    first = config(simulator.account("app-1")).changed(storage=_storage(state))
    name = "rtcmpu_policy_oldest_violation_timestamp_seconds"

    def begin() -> Started:
        one = Started(first)
        one.rule_set = rule_set(rule("never", "false"))
        return one

    async with running(begin()) as one:
        await one.until_data_of("app-1")
        oldest = sample(await one.metrics(), name, rule="never")
        found = json.loads((await one.ask("/api/v1/violations?sort=-since&limit=1")).text)["violations"]
    removed = found[0]["task_id"]  # whose violation is the newest
    simulator.service.fleet.delete("app-1", removed)
    state.rename(aside)
    state.write_text("a file where a directory is expected")
    async with running(begin()) as one:
        await one.until_data_of("app-1")
        assert sample(await one.metrics(), name, rule="never") != oldest
        state.unlink()
        aside.rename(state)
        await one.until_sample(oldest, name, rule="never")

        async def recorded() -> Any:
            return json.loads((await one.ask("/api/v1/changes")).text)["changes"]

        (change,) = await until(recorded)
        assert (change["task_id"], change["change"]) == (removed, "removed")
        assert change["earliest_timestamp_seconds"] < change["noticed_timestamp_seconds"]
    with closing(Database(_storage(state).url.reveal())) as database:
        violations = database.load()[0].violations
        messages = {row.message for row in rows(database, VIOLATIONS)}
    assert [min(since.values()) for since in violations.values()] == [oldest]
    assert messages == {"Title of never"}


async def test_the_state_of_another_service_is_not_used(tmp_path: Path) -> None:
    """After a move to another endpoint nothing is shown before the first sweep, and nothing counts as changed."""
    storage = _storage(tmp_path)
    async with simulated(tasks=10) as before, simulated(tasks=5, faults=["internal_error"]) as after:
        async with started(config(before.account("app-1")).changed(storage=storage)) as one:
            await one.until_data_of("app-1")
        with structlog.testing.capture_logs() as logs:
            async with started(config(after.account("app-1")).changed(storage=storage)) as one:
                assert app_ids(await one.metrics(), "rtcmpu_tasks") == set()
                after.service.faults.clear()
                await one.until_data_of("app-1")
                text = await one.metrics()
                for change in ("added", "removed", "modified"):
                    assert sample(text, "rtcmpu_task_changes_total", change=change) == 0
    assert "saved tasks are not used: they are of another endpoint" in [log["event"] for log in logs]


async def test_a_bad_first_configuration_ends_the_start() -> None:
    """Without a configuration to fall back on, its mistakes are the caller's."""
    one = Started(_mistaken())
    with pytest.raises(ConfigError, match="unknown key a"):
        await one.daemon.wait_until_listening(one.running)


async def test_what_is_published_is_what_the_pages_say(simulator: Simulated) -> None:
    """Metrics, API and page agree about an app, and requests are counted by their route."""
    async with started(config(simulator.account("app-1"))) as one:
        await one.until_data_of("app-1")
        (app,) = json.loads((await one.ask("/api/v1/apps")).text)["apps"]
        await one.ask("/no/such/page")
        text = await one.metrics()
        published = {(task["task_region"], task["mix_mode"]): task["count"] for task in app["tasks"] if task["count"]}
        for (region, mode), count in published.items():
            assert sample(text, "rtcmpu_tasks", task_region=region, mix_mode=mode) == count
        assert sum(published.values()) == 10
        assert "1 of 1 apps up" in (await one.ask("/")).text
        await one.until_sample(1, "rtcmpu_exporter_http_requests_total", path="/api/v1/apps", code="200")
        await one.until_sample(1, "rtcmpu_exporter_http_requests_total", path="other", code="404")


async def test_tasks_are_shown_as_a_copy(simulator: Simulated) -> None:
    """What is shown stays as it is while the collection goes on; unknown names show nothing."""
    async with started(simulator.config("app-1")) as one:
        await one.until_data_of("app-1")
        view, (app,) = one.daemon.view, one.daemon._monitor.apps.values()
        shown = view.tasks("production", "app-1")
        assert shown is not None
        task_id = shown.entries[0].task.task_id
        task = view.task("production", "app-1", task_id)
        assert task is not None
        assert shown.status == task.status == app.collector.status
        assert (task.entry, task.findings, len(shown.entries)) == (shown.entries[0], (), 10)
        app.collector.inventory.remove([task_id], settled_before=inf, at=0.0)
        assert len(shown.entries) == 10
        assert view.task("production", "app-1", task_id) is None
        assert view.task("production", "app-9", task_id) is None
        assert view.tasks("production", "app-9") is None


def _with(config: Config, per_task: PerTask) -> Config:
    """Return a configuration with other settings of the series about single tasks."""
    return config.changed(metrics=Metrics(per_task=per_task))


async def _until_tasks(one: Started, number: int) -> str:
    """Wait until this many tasks have series; return the exposition."""

    async def are_there() -> str:
        text = (await one.ask("/metrics/tasks")).text
        return text if text.count("\nrtcmpu_task_info{") == number else ""

    text: str = await until(are_there)
    return text


async def test_series_about_tasks_follow_the_configuration(simulator: Simulated) -> None:
    """They come and go with the setting and with their apps, without the apps being read again for it."""
    config = simulator.config("app-1", "app-2")
    async with started(config) as one:
        await one.until_data_of("app-1", "app-2")
        answer = await one.ask("/metrics/tasks")
        assert (answer.status, "per_task" in answer.text) == (404, True)
        kept = one.daemon._monitor.apps["production", "app-2"]

        one.next = _with(config, PerTask(enabled=True))
        await one.daemon.reload()
        text = await _until_tasks(one, 2 * 10)
        series = sum(not line.startswith("#") for line in text.splitlines())
        await one.until_sample(series, "rtcmpu_exporter_series", path="/metrics/tasks")
        await one.until_sample(0, "rtcmpu_exporter_series_omitted", path="/metrics/tasks")

        one.next = _with(simulator.config("app-2"), PerTask(enabled=True))
        await one.daemon.reload()
        assert 'app_id="app-1"' not in await _until_tasks(one, 10)

        one.next = simulator.config("app-2")
        await one.daemon.reload()
        assert (await one.ask("/metrics/tasks")).status == 404
        assert sample(await one.metrics(), "rtcmpu_exporter_series", path="/metrics/tasks") is None
        assert one.daemon._monitor.apps["production", "app-2"] is kept


async def test_changes_are_served_from_the_baseline_on(simulator: Simulated) -> None:
    """The first tasks are no changes; what is changed then is listed and counted by its groups."""
    async with started(simulator.config("app-1", "app-2")) as one:
        await one.until_data_of("app-1", "app-2")
        task_id = json.loads(next(simulator.service.fleet.bodies("app-2")))["TaskId"]
        simulator.service.fleet.update("app-2", task_id, {"MaxIdleTime": "77"})
        text = await one.until_sample(1, "rtcmpu_task_changes_total", app_id="app-2", change="modified")
        assert sample(text, "rtcmpu_task_field_changes_total", app_id="app-2", field="idle_timeout") == 1
        assert sample(text, "rtcmpu_task_changes_total", app_id="app-1", change="modified") == 0
        answer = json.loads((await one.ask("/api/v1/changes")).text)
        (change,) = answer["changes"]
        assert (change["account"], change["app_id"], change["change"]) == ("production", "app-2", "modified")
        assert [(field["field"], field["after"]) for field in change["fields"]] == [("idle_timeout", "77 s")]
        assert answer["remembered_since"] < change["noticed_timestamp_seconds"]
