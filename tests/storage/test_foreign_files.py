"""Files that are not the exporter's database are refused wherever they are named, and never touched."""

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import DatabaseError
from structlog.testing import capture_logs

from exporter.cli import main
from exporter.config.mistakes import ConfigError
from exporter.core.regular_file import database_refusal
from exporter.rules.rule_loader import load
from exporter.storage import database as database_module
from exporter.storage.database import Database
from exporter.storage.tables import RefusedError
from tests.support.batches import batch, entry
from tests.support.command_line import logging_restored
from tests.support.configurations import account, write_configuration


def _foreign_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE apps (id INTEGER); CREATE TABLE schema_version (version INTEGER);")


def _to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


FOREIGN: dict[str, Callable[[Path], object]] = {
    "key": lambda path: path.write_text("-----BEGIN PRIVATE KEY-----\n"),
    "zeros": lambda path: path.write_bytes(bytes(40_000)),
    "zeros at first": lambda path: path.write_bytes(bytes(40_000) + b"letters"),
    "database of another program": _foreign_database,
    "first page without a mark": lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(84)),
    "pipe": os.mkfifo,
    "link to a pipe": _to_a_pipe,
    "directory": Path.mkdir,
    "link to a device": lambda path: path.symlink_to("/dev/null"),
}
SOURCES = {
    "url": "storage: {url: 'sqlite:taken'}\n",
    "url_file": "storage: {url_file: url}\n",
    "environment": "storage: {url: '${RTCMPU_URL}'}\n",
}


ENVIRONMENT = {"RTCMPU_URL": "sqlite:taken"}


def _state(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Return what all files are and hold."""
    return {
        path.name: (path.lstat().st_mode, path.read_bytes() if stat.S_ISREG(path.stat().st_mode) else b"")
        for path in directory.iterdir()
    }


def test_a_new_file_is_never_without_its_mark(tmp_path: Path) -> None:
    """At every step of its creation the file is recognised as a database of this program."""
    path = tmp_path / "rtcmpu.db"
    with closing(sqlite3.connect(path)) as connection:
        for statement in database_module._NEW_FILE:
            connection.execute(statement).close()
            assert database_refusal(path) is None, statement
    with closing(Database(f"sqlite:{path}")) as opened, opened._engine.connect() as connected:
        assert connected.exec_driver_sql("PRAGMA auto_vacuum").scalar() == 2


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("source", SOURCES)
def test_a_file_of_others_is_a_mistake(tmp_path: Path, make: Callable[[Path], object], source: str) -> None:
    """The configuration is refused at a start and a reload; the mistake names the file and what to do."""
    make(tmp_path / "taken")
    (tmp_path / "url").write_text("sqlite:taken\n")
    config = write_configuration(tmp_path, account("http://127.0.0.1:1"), rest=SOURCES[source])
    before = _state(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(config, ENVIRONMENT)
    assert str(tmp_path / "taken") in str(caught.value)
    assert "expected the path of a new file" in str(caught.value)
    assert _state(tmp_path) == before


@pytest.mark.parametrize("command", ["check-config", "serve", "history"])
def test_each_command_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """Nothing is started with a database that is another file."""
    (tmp_path / "url").write_text("sqlite:rtcmpu.yml\n")
    config = write_configuration(tmp_path, account("http://127.0.0.1:1"), rest=SOURCES["url_file"])
    before = _state(tmp_path)
    with logging_restored():
        words = [str(config)] if command == "check-config" else [f"--config.file={config}"]
        code = main([command, *words])
    assert (code, "can't be used: it is not a database of this exporter" in "".join(capsys.readouterr())) == (2, True)
    assert _state(tmp_path) == before


def test_the_configuration_itself_and_other_databases_are_mistakes_in_a_url_file(tmp_path: Path) -> None:
    """What `url` refuses, `url_file` refuses too; one that is not there yet may come later."""
    config = write_configuration(tmp_path, account("http://127.0.0.1:1"), rest="storage: {url_file: url}\n")
    load(config, {})
    for url, said in (("sqlite:rtcmpu.yml", "not a database of this exporter"), ("mysql://a", "url_file is another")):
        (tmp_path / "url").write_text(url)
        with pytest.raises(ConfigError, match=said):
            load(config, {})


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_becomes_one_of_others_is_not_touched(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """A file may be replaced after the configuration was checked; the log gets the reason."""
    make(tmp_path / "taken")
    before = _state(tmp_path)
    with pytest.raises(RefusedError, match="taken' can't be used: "):
        Database(f"sqlite:{tmp_path / 'taken'}")
    assert _state(tmp_path) == before


@pytest.mark.parametrize("damage", [lambda data: data[:9000], lambda data: data[:100], lambda data: data[:72]])
def test_a_damaged_file_is_moved_aside(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """A file with the mark is accepted by the configuration; the log names the copy, and the next database is empty."""
    path = tmp_path / "rtcmpu.db"
    with closing(Database(f"sqlite:{path}")) as database:
        database.write(batch(*(entry(f"task-{number}") for number in range(100))))
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    load(write_configuration(tmp_path, account("http://127.0.0.1:1"), rest="storage: {url: 'sqlite:rtcmpu.db'}\n"), {})
    with capture_logs() as logs, pytest.raises(DatabaseError):
        Database(f"sqlite:{path}").load()
    (aside,) = tmp_path.glob("rtcmpu.db.damaged-*")
    assert len(aside.read_bytes()) >= len(damaged)
    assert [line["path"] for line in logs] == [str(aside)]
    with closing(Database(f"sqlite:{path}")) as database:
        assert database.load() == []


def test_a_file_that_is_removed_is_noticed(tmp_path: Path) -> None:
    """What is written would go to no file; nothing of the old one is left, and another one in its place is used."""
    path = tmp_path / "rtcmpu.db"
    with closing(Database(f"sqlite:{path}")) as database:
        database.write(batch(entry("a")))
        path.unlink()
        with pytest.raises(FileNotFoundError, match="was removed"):
            database.size_bytes()
    assert list(tmp_path.iterdir()) == []
    with closing(Database(f"sqlite:{path}")) as database:
        assert database.load() == []
        other = tmp_path / "other.db"
        with closing(Database(f"sqlite:{other}")) as one:
            one.write(batch(entry("b")))
        other.replace(path)
        with pytest.raises(FileNotFoundError, match="was removed"):
            database.size_bytes()
    with closing(Database(f"sqlite:{path}")) as database:
        assert [each.task_id for saved in database.load() for each in saved.entries] == ["b"]


def test_a_new_file_is_marked_before_it_has_a_write_ahead_log(tmp_path: Path) -> None:
    """A process that is killed while it creates the database leaves a file that the next one takes."""
    path = tmp_path / "rtcmpu.db"
    path.touch()
    database = Database(f"sqlite:{path}")
    main_file = path.read_bytes()
    (tmp_path / "copy.db").write_bytes(main_file)  # what a kill leaves when nothing was moved from the log yet
    database.close()
    assert main_file[68:72] == b"rMPU"
    Database(f"sqlite:{tmp_path / 'copy.db'}").close()
