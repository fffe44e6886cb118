"""Databases to test with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.storage.database import Database
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
    return server.new_database()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """Open an empty database of each kind."""
    opened = Database(url)
    yield opened
    opened.close()
