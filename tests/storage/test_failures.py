"""A real database that fails and comes back: nothing is lost, nothing is written twice."""

import re
import signal
import sqlite3
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import inspect, select, text
from structlog.testing import capture_logs

from exporter.storage import database as database_module
from exporter.storage.database import Database, engine_of
from exporter.storage.tables import CHANGES, RefusedError
from exporter.storage.writer import REMEDIES
from tests.storage.test_database import rows
from tests.support.batches import batch, changed, entry, writing
from tests.support.configurations import account, write_configuration
from tests.support.generated import IN_CI
from tests.support.http import ask
from tests.support.monitored import until
from tests.support.postgresql import USER, PostgreSQL, postgresql
from tests.support.processes import Programs, eventually

SETTINGS = database_module._SQLITE_SETTINGS
KILLS = 3 if IN_CI else 2


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("PRAGMA max_page_count = 20", "database or disk is full"),
        ("PRAGMA query_only = 1", "attempt to write a readonly database"),
    ],
    ids=["full", "read-only"],
)
async def test_a_full_or_read_only_disk_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, reason: str
) -> None:
    """What was collected meanwhile is written when there is room again; the log says why it was not."""
    url = f"sqlite:{tmp_path / 'rtcmpu.db'}"
    Database(url).close()
    with capture_logs() as logs:
        monkeypatch.setattr(database_module, "_SQLITE_SETTINGS", (*SETTINGS, setting))
        async with writing(lambda: url) as one:
            one.write(batch(*(entry(f"task-{number}") for number in range(500))))
            await until(lambda: reason in {line.get("reason") for line in logs})
            one.write(changed(None, entry("new")))
            assert one.writer.lag_seconds > 0
            monkeypatch.setattr(database_module, "_SQLITE_SETTINGS", SETTINGS)
            await one.has_written()
    with closing(Database(url)) as database:
        assert len(database.load()[0].entries) == 501
        assert len(rows(database, CHANGES)) == 1


async def test_a_locked_file_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program may hold it for a while; what is stored can be read meanwhile."""
    monkeypatch.setattr(database_module, "_SQLITE_SETTINGS", (*SETTINGS, "PRAGMA busy_timeout = 10"))
    path = tmp_path / "rtcmpu.db"
    async with writing(lambda: f"sqlite:{path}") as one:
        await one.has_written()
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            one.write(batch(entry("a")))
            await until(lambda: not one.writer.up)
            with closing(Database(f"sqlite:{path}")) as database:
                assert database.load() == []
            other.rollback()
        await one.has_written()
    with closing(Database(f"sqlite:{path}")) as database:
        assert len(database.load()[0].entries) == 1


@pytest.mark.processes
async def test_a_server_that_restarts_is_waited_for(server: PostgreSQL) -> None:
    """PostgreSQL is killed and starts again: each change is there once."""
    url = server.new_database()
    async with writing(lambda: url) as one:
        one.write(batch(entry("a")))
        one.write(changed(None, entry("b")))
        await one.has_written()
        server.stop()
        try:
            one.write(changed(None, entry("c")))
            await until(lambda: not one.writer.up)
            one.write(changed(None, entry("d")))
        finally:
            server.start()
        await one.has_written()
    with closing(Database(url)) as database:
        assert [row.task_id for row in rows(database, CHANGES)] == ["b", "c", "d"]
        assert {each.task.task_id for each in database.load()[0].entries} == {"a", "b", "c", "d"}


@pytest.mark.processes
@pytest.mark.parametrize("table", ["apps (id INTEGER)", "schema_version (version INTEGER, applied TEXT)"])
def test_a_database_of_another_program_is_not_touched(server: PostgreSQL, table: str) -> None:
    """Its tables may have the names of ours; the sentence says what to do."""
    engine = database_module.engine_of(url := server.new_database())
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {table}"))
    with pytest.raises(RefusedError, match=f"tables of another program .{table.partition(' ')[0]}.: create a database"):
        Database(url)
    assert inspect(engine).get_table_names() == [table.partition(" ")[0]]
    engine.dispose()


@pytest.mark.processes
async def test_a_database_that_is_named_wrongly_is_asked_for_again(server: PostgreSQL) -> None:
    """The URL is read for each connection, so that a new password or address counts without a restart."""
    right = server.new_database()
    urls = [server.url("nothing")]
    with capture_logs() as logs:
        async with writing(lambda: urls[-1]) as one:
            one.write(batch(entry("a")))
            await until(
                lambda: [line for line in logs if 'database "nothing" does not exist' in line.get("reason", "")]
            )
            urls.append(right)
            await one.has_written()
    assert not [line for line in logs if "postgresql+psycopg" in str(line)]
    with closing(Database(right)) as database:
        assert len(database.load()[0].entries) == 1


@pytest.mark.processes
async def test_a_standby_takes_over(server: PostgreSQL) -> None:
    """With both servers in the URL, what was collected until a standby is promoted is written there, once each."""
    name = server.new_database().rpartition("/")[2]
    Database(server.url(name)).close()
    with postgresql(standby_of=server) as standby, capture_logs() as logs:
        url = (
            f"postgresql+psycopg://postgres@/{name}?host=127.0.0.1,127.0.0.1"
            f"&port={server.port},{standby.port}&target_session_attrs=read-write"
        )
        async with writing(lambda: url) as one:
            one.write(batch(entry("a")))
            one.write(changed(None, entry("b")))
            await one.has_written()
            await until(lambda: _task_ids(standby.url(name)) == ["b"])
            server.stop()
            try:
                one.write(changed(None, entry("c")))
                await until(lambda: REMEDIES["read-only"] in [line.get("remedy") for line in logs])
                standby.promote()
                await one.has_written()
                assert _task_ids(url) == ["b", "c"]
            finally:
                server.start()


def _task_ids(url: str) -> list[str]:
    engine = engine_of(url)
    try:
        with engine.connect() as connection:
            return list(connection.scalars(select(CHANGES.c.task_id).order_by(CHANGES.c.id)))
    finally:
        engine.dispose()


@pytest.mark.processes
def test_a_wrong_password_is_named_but_not_shown(tmp_path: Path, server: PostgreSQL) -> None:
    """The exporter goes on, its log says what to do, and a corrected file is used without a restart."""
    url = server.new_database()
    server.ask_password("guarded", "right-Sesame")
    file = tmp_path / "url"
    with Programs(tmp_path) as programs:
        _, simulator = programs.start_simulator("--apps=1", "--tasks=10", "--churn=0")
        wrong = url.replace(f"{USER}@", "guarded:wr@ng-Sesame@"), url.replace(f"{USER}@", "guarded:wrong-Sesame@")
        file.write_text(wrong[0])
        config = write_configuration(tmp_path, account(simulator), rest=f"storage: {{url_file: '{file}'}}\n")
        daemon, address = programs.start_daemon(config)
        daemon.wait_for("has an @ in the user or password: write %40")
        daemon.wait_for("collection is complete")
        file.write_text(wrong[1])
        eventually(partial(_is_up, address, 0))
        assert ask(f"{address}/api/v1/changes").status == 503
        history = programs.run_exporter("history", f"--config.file={config}")
        assert "password authentication failed" in history.err
        file.write_text(url.replace(f"{USER}@", "guarded:right-Sesame@"))
        eventually(partial(_is_up, address, 1))
        eventually(partial(_has_tasks, url, 10))
        shown = [daemon.out, daemon.err, history.out, history.err, ask(f"{address}/config").text]
    assert not [text for text in shown if "Sesame" in text]


def _has_tasks(url: str, tasks: int) -> None:
    with closing(Database(url)) as database:
        assert [len(app.entries) for app in database.load()] == [tasks]


def _is_up(address: str, up: int) -> None:
    assert _sum(address, "rtcmpu_exporter_storage_up") == up


def _sum(address: str, name: str) -> float:
    text = ask(f"{address}/metrics").text
    return sum(map(float, re.findall(rf"^{name}(?:\{{.*\}})? (\S+)", text, re.MULTILINE)))


def _published(address: str) -> float:
    """Return how many changes are counted, as soon as there are any."""
    counted = _sum(address, "rtcmpu_task_changes_total")
    assert counted > 0
    return counted


def _is_written(address: str, before: float) -> None:
    """Check that nothing waits to be written that is older than a moment. The lag itself is up to two seconds old."""
    now = time.monotonic()
    assert _sum(address, "rtcmpu_exporter_storage_up") == 1
    assert _sum(address, "rtcmpu_exporter_storage_write_lag_seconds") < now - before - 2


@pytest.mark.processes
def test_what_was_written_before_a_kill_is_kept(tmp_path: Path, server: PostgreSQL) -> None:
    """After kill -9 each kind of database has every change that was counted longer ago than the published lag."""
    urls = f"sqlite:{tmp_path / 'rtcmpu.db'}", server.new_database()
    with Programs(tmp_path) as programs:
        _, simulator = programs.start_simulator("--apps=1", "--tasks=300", "--churn=20")
        collection = "collection: {interval: 200ms, sweep_interval: 1s, stale_after: 60s}\n"
        configs = [
            write_configuration(
                tmp_path, account(simulator), rest=f"{collection}storage: {{url: '{url}'}}\n", name=f"{number}.yml"
            )
            for number, url in enumerate(urls)
        ]
        for kill in range(KILLS):
            before = [_changes(url) for url in urls]
            daemons = [programs.start_daemon(config) for config in configs]
            for daemon, _ in daemons:
                daemon.wait_for("collection is complete")
            time.sleep(0.5 + 0.3 * kill)
            published = [(eventually(partial(_published, address)), time.monotonic()) for _, address in daemons]
            for (daemon, address), (_, asked) in zip(daemons, published, strict=True):
                eventually(partial(_is_written, address, asked))
                daemon.send(signal.SIGKILL)
            for (daemon, _), url, (counted, _), stored in zip(daemons, urls, published, before, strict=True):
                daemon.ended(within_seconds=20)
                assert _changes(url) - stored >= counted


def _changes(url: str) -> int:
    with closing(Database(url)) as database:
        return len(rows(database, CHANGES))
