"""Leases in a real PostgreSQL."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.exc import InternalError

from exporter.collector.inventory import Entry
from exporter.collector.past import HistoryFilter
from exporter.storage import database as database_module
from exporter.storage.database import Database, engine_of
from exporter.storage.leases import LeaseTable, NotSharedError
from exporter.storage.stored_past import read_changes
from exporter.storage.writer import Batch, ViolationEvent
from tests.support.batches import BITRATE, FIRST, batch, changed, entry
from tests.support.postgresql import PostgreSQL

pytestmark = pytest.mark.processes

BUDGETS = {"a", "b", "c", "d", "e", "f"}
MINUTE = 60.0
Open = Callable[[str], LeaseTable]


@pytest.fixture
def url(server: PostgreSQL) -> str:
    """Return the URL of an empty database of PostgreSQL."""
    return server.emptied_database()


@pytest.fixture
def join(url: str) -> Iterator[Open]:
    """Open the leases as another exporter."""
    opened: list[LeaseTable] = []

    def join(name: str) -> LeaseTable:
        opened.append(LeaseTable(url, name, f"http://{name}", MINUTE))
        return opened[-1]

    yield join
    for each in opened:
        each.close()


@pytest.fixture
def let_a_minute_pass(server: PostgreSQL, url: str) -> Callable[[], None]:
    """Let all leases end that are not renewed: how long a busy machine takes for a statement decides nothing."""

    def let_pass() -> None:
        earlier = "SET ends = ends - interval '1 minute'"
        server.execute(f"UPDATE leases {earlier}; UPDATE exporters {earlier}", url.rpartition("/")[2])

    return let_pass


def own(table: LeaseTable, budgets: set[str] = BUDGETS) -> set[str]:
    """Make a round, free what others should hold, and return what is held then."""
    found = table.round(budgets)
    for budget in found.to_free:
        table.free(budget)
    return {budget for budget, lease in found.leases.items() if lease.is_own} - found.to_free


def test_exporters_share_evenly_and_only_one_holds_each(join: Open) -> None:
    """The first holds all; others that join get their share as it is freed, and the share of one that leaves."""
    one, two, three = join("one"), join("two"), join("three")
    assert own(one) == BUDGETS
    assert own(two) == set()
    assert len(own(one)) == 3
    assert len(own(two)) == 3
    assert own(three) == set()
    shares = [own(one), own(two), own(three)]
    assert [len(each) for each in shares] == [2, 2, 2]
    assert set().union(*shares) == BUDGETS
    two.leave()
    assert len(own(one)) + len(own(three)) == 6
    found = one.round(BUDGETS)
    assert {lease.holder for lease in found.leases.values()} == {"", "http://three"}
    assert found.exporters == 2


def test_a_lease_ends_by_the_databases_clock_and_keeps_its_term_with_its_holder(
    join: Open, let_a_minute_pass: Callable[[], None]
) -> None:
    """One that gives no sign of life keeps its term until another takes the budget; it is told so."""
    one, two = join("one"), join("two")
    assert one.round({"a"}).leases["a"].term == 1
    let_a_minute_pass()
    again = one.round({"a"}).leases["a"]
    assert (again.term, again.is_own) == (1, True)
    assert not two.round({"a"}).leases["a"].is_own
    let_a_minute_pass()
    taken = two.round({"a"}).leases["a"]
    assert (taken.term, taken.is_own) == (2, True)
    lost = one.round({"a"}).leases["a"]
    assert (lost.term, lost.is_own, lost.holder) == (2, False, "http://two")


def test_a_budget_goes_only_to_exporters_that_are_configured_for_it(join: Open) -> None:
    """An exporter that knows other accounts takes none of those that it does not know."""
    one, two = join("one"), join("two")
    assert own(one, {"a", "b"}) == {"a", "b"}
    assert own(two, {"c"}) == {"c"}
    assert own(one, {"a"}) == {"a"}
    assert one.round({"a", "b"}).leases["b"].is_own


def test_what_was_read_under_an_earlier_term_is_not_written(
    join: Open, url: str, let_a_minute_pass: Callable[[], None]
) -> None:
    """A batch of a holder that lost its lease changes nothing; the new holder loads what was written before."""
    one, two = join("one"), join("two")
    one.round({"a"})
    database, engine = Database(url), engine_of(url)
    before, after = entry("t"), entry("t", idle_timeout_seconds=9)

    def written(one_batch: Batch, term: int) -> int:
        one_batch.lease = ("a", term)
        database.write(one_batch)
        with engine.connect() as connection:
            return len(read_changes(connection, HistoryFilter(limit=10)))

    assert written(batch(before, token=FIRST), 1) == 0
    let_a_minute_pass()
    assert two.round({"a"}).leases["a"].term == 2
    (loaded,) = two.load("a", ["prod"])
    assert [each.task.configuration for each in loaded.entries] == [before.task.configuration]
    assert written(changed(before, after, token="late"), 1) == 0
    assert written(changed(before, after, token="new"), 2) == 1
    assert two.load("a", ["other"]) == []
    database.close()
    engine.dispose()


def test_a_large_app_is_read_though_its_tasks_take_long(join: Open, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading 200,000 tasks, it computes for longer than it may keep others waiting, on a slow machine."""
    join("one").round({"a"})

    def slow_entries(_: object) -> Sequence[Entry]:
        time.sleep(2)
        return ()

    monkeypatch.setattr(database_module, "_entries", slow_entries)
    new = replace(batch(entry("t")), lease=("a", 1))
    with closing(Database(url, lease_seconds=1)) as database:
        database.write(new)
        assert len(database.load(new)) == 1


def test_violations_are_written_though_to_list_them_takes_long(join: Open, url: str) -> None:
    """As it does for hundreds of thousands: that is done before others have to wait."""
    join("one").round({"a"})

    def slow_violations() -> Sequence[ViolationEvent]:
        time.sleep(2)
        return [ViolationEvent(BITRATE, "t", 1.0)]

    new = replace(batch(entry("t")), lease=("a", 1), all_violations=True, open_violations=slow_violations)
    with closing(Database(url, lease_seconds=1)) as database:
        database.write(new)
        assert [app.violations for app in database.load()] == [{BITRATE: {"t": 1.0}}]


def test_an_app_is_read_after_what_its_last_holder_is_writing(join: Open, url: str) -> None:
    """What that has read is compared with, not overtaken."""
    join("one").round({"a"})
    new = replace(batch(entry("t")), lease=("a", 1))
    with closing(Database(url)) as holder, closing(Database(url)) as database, ThreadPoolExecutor() as threads:
        with holder._transaction() as connection:
            database_module.lock_budget(connection, "a", MINUTE)
            database_module._write(connection, new, shape=database_module.SHAPE)
            loading = threads.submit(database.load, new)
            time.sleep(0.5)
        assert len(loading.result(30)) == 1


def test_an_exporter_that_is_cut_off_while_it_writes_keeps_nobody_waiting_beyond_its_lease(
    join: Open, url: str
) -> None:
    """The server ends its transaction."""
    two = join("two")
    two.round({"a"})

    def write() -> None:
        with cut_off._transaction() as connection:
            database_module.lock_budget(connection, "a", cut_off._lease_seconds)
            assert threads.submit(two.load, "a", ["prod"]).result(0.8 * database_module.LONGEST_IDLE_SECONDS) == []
            connection.execute(text("SELECT 1"))

    with (
        closing(Database(url, lease_seconds=0.5)) as cut_off,
        ThreadPoolExecutor() as threads,
        pytest.raises(InternalError, match="idle-in-transaction"),
    ):
        write()


def test_sqlite_is_refused() -> None:
    """A `url_file` can name SQLite, which exporters can't share."""
    with pytest.raises(NotSharedError, match="PostgreSQL"):
        LeaseTable("sqlite:x.db", "one", "", MINUTE)
