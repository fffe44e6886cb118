"""Databases to test with, what reads them, and a writer whose pauses are short."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from exporter.storage import writer as writer_module
from exporter.storage.database import Database
from exporter.storage.stored_past import StoredPast
from tests.support.postgresql import PostgreSQL, postgresql


@pytest.fixture(scope="package")
def server() -> Iterator[PostgreSQL]:
    """Run PostgreSQL for the tests of this directory."""
    with postgresql() as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.processes)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'state' / 'rtcmpu.db'}"
    server: PostgreSQL = request.getfixturevalue("server")
    return server.emptied_database()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """Open an empty database of each kind."""
    with closing(Database(url)) as opened:
        yield opened


@pytest.fixture
def stored(url: str) -> StoredPast:
    """Read the past from a database of each kind."""
    return StoredPast(lambda: url)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(writer_module, "LONGEST_PAUSE_SECONDS", 0.1)
