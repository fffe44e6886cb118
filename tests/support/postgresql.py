"""A server of PostgreSQL for tests, as its own user where the tests run as root, which it refuses to be."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

from tests.support.processes import free_port

USER = "postgres"
"""Debian's package creates it."""
SECONDS = 180


class PostgreSQL:
    """A server that can be stopped and started, with any number of databases."""

    def __init__(self, directory: Path, standby_of: "PostgreSQL | None" = None) -> None:
        self._directory = directory
        self.port = free_port()
        self._numbers = count(1)
        self._emptied: str | None = None
        self._user = USER if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(directory, self._user)
        self._data = directory / "data"
        if standby_of is None:
            words = ["--auth=trust", f"--username={USER}", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
            self._run("initdb", *words)
        else:
            source = f"--dbname=host=127.0.0.1 port={standby_of.port} user={USER}"
            self._run("pg_basebackup", source, "--write-recovery-conf", "--checkpoint=fast", "--no-sync")

    def start(self) -> None:
        """Start it, and wait until it can be used."""
        options = f"-c port={self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self._run("pg_ctl", "start", "-w", f"--log={self._directory / 'log'}", f"--options={options}")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "stop", "-w", f"--mode={mode}")

    def promote(self) -> None:
        self._run("pg_ctl", "promote", "-w")

    def ask_password(self, user: str, password: str) -> None:
        """Create a user that needs a password."""
        self.execute(f"CREATE USER {user} SUPERUSER PASSWORD '{password}'", "postgres")
        rules = self._data / "pg_hba.conf"
        rules.write_text(f"host all {user} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        self._run("pg_ctl", "reload")

    def new_database(self) -> str:
        """Create a database and return its URL."""
        name = f"test{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}", "postgres")
        return self.url(name)

    def emptied_database(self) -> str:
        """Empty the one database that has been handed out so before, and return its URL.

        A new one has 300 files, which take longer to be made and removed than most tests.
        """
        if self._emptied is None:
            self._emptied = self.new_database()
            return self._emptied
        database = self._emptied.rpartition("/")[2]
        others = f"FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid()"
        self.execute(f"SELECT pg_terminate_backend(pid) {others}", database)
        self.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public", database)
        return self._emptied

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str) -> None:
        with psycopg.connect(self.url(database).replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _run(self, program: str, *words: str) -> None:
        command: list[str | Path] = [_program(program), "-D", self._data, *words]
        done = subprocess.run(  # noqa: PLW1510 - the output says why
            command, user=self._user, cwd="/", timeout=SECONDS, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert done.returncode == 0, done.stderr.decode()


@contextmanager
def postgresql(standby_of: PostgreSQL | None = None) -> Iterator[PostgreSQL]:
    """Run a server."""
    with tempfile.TemporaryDirectory() as directory:
        server = PostgreSQL(Path(directory), standby_of)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _program(name: str) -> Path:
    """Return the newest of the installed versions: Debian puts them into no directory of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    return found[-1] if found else Path(shutil.which(name) or name)
