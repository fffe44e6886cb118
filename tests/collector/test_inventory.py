"""The accepted tasks: what is a change, which reading wins, and what is not believed."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.aliyun.parse_task import Interner, read_row, row_digest
from exporter.collector.inventory import SUPERSEDED_FOR_SECONDS, Entry, Inventory
from exporter.collector.task_diff import kind_of
from exporter.core.task import Task
from tests.metrics.builders import configurations


def task(version: str, task_id: str = "task", *, spaced: bool = False) -> Task:
    """Return a task; `spaced` spells its row otherwise."""
    row = msgspec.json.encode({"AppId": "app", "TaskId": task_id, "ChannelId": version})
    read = read_row(msgspec.Raw(row.replace(b",", b", ") if spaced else row), app_id="app", share=Interner())
    assert read is not None
    return read


def accept(inventory: Inventory, *tasks: Task, sent_at: float, now: float = 0.0) -> list[str]:
    """Let an inventory accept rows of one request and return the kinds of change."""
    return [
        kind_of(change) for change in inventory.accept([Entry.of(task, sent_at=sent_at) for task in tasks], now=now)
    ]


def test_a_new_task_is_added_and_a_changed_one_modified() -> None:
    """Changes carry what was before and what is after; times say when it was noticed."""
    inventory = Inventory()
    assert accept(inventory, task("1"), sent_at=1, now=100) == ["added"]
    assert accept(inventory, task("2"), sent_at=2, now=200) == ["modified"]
    entry = inventory.get("task")
    assert entry is not None
    assert (entry.task.channel_id, entry.first_seen, entry.last_changed) == ("2", 100, 200)
    assert len(inventory) == len(list(inventory)) == 1


def test_what_an_earlier_process_accepted_is_added_as_it_was() -> None:
    """They come back as changes, with their times: whoever counts tasks counts these, too."""
    inventory = Inventory()
    stored = [Entry.of(task("1", name), first_seen=50, last_changed=60, sent_at=0) for name in ("a", "b")]
    changes = inventory.restore(stored)
    assert [(kind_of(change), change.after) for change in changes] == [("added", entry) for entry in stored]
    assert list(inventory) == stored


def test_another_spelling_is_no_change() -> None:
    """A row with other bytes and equal content is known by its new bytes, and nothing is reported."""
    inventory = Inventory()
    respelled = task("1", spaced=True)
    accept(inventory, task("1"), sent_at=1, now=100)
    assert accept(inventory, respelled, sent_at=2, now=200) == []
    assert inventory.task_id_of(respelled.row_digest) == "task"
    entry = inventory.get("task")
    assert entry is not None
    assert entry.last_changed == 100


def test_a_task_that_changes_keeps_one_text_of_its_id() -> None:
    """After weeks, tasks take no more memory than after the start."""
    inventory = Inventory()
    first, second = task("1"), task("2")
    assert first.task_id is not second.task_id
    accept(inventory, first, sent_at=1)
    accept(inventory, second, sent_at=2)
    entry = inventory.get("task")
    assert entry is not None
    assert entry.task_id is inventory.task_id_of(second.row_digest) is first.task_id


def test_the_newest_reading_wins() -> None:
    """What an earlier request brought does not replace what a later one did."""
    inventory = Inventory()
    accept(inventory, task("2"), sent_at=10)
    assert accept(inventory, task("1"), sent_at=9) == []
    entry = inventory.get("task")
    assert entry is not None
    assert entry.task.channel_id == "2"


def test_only_the_current_row_is_known() -> None:
    """The digest of a replaced or removed version tells nothing any more."""
    inventory = Inventory()
    old, new = task("1"), task("2")
    accept(inventory, old, sent_at=1)
    accept(inventory, new, sent_at=2)
    assert (inventory.task_id_of(old.row_digest), inventory.task_id_of(new.row_digest)) == (None, "task")
    inventory.remove(["task"], settled_before=3, at=3)
    assert inventory.task_id_of(new.row_digest) is None


def test_a_replaced_version_is_not_believed_for_two_seconds() -> None:
    """A replica that lags does not turn a change back; who really changes a task back is seen a little later."""
    inventory = Inventory()
    accept(inventory, task("1"), sent_at=1)
    accept(inventory, task("2"), sent_at=10)
    assert accept(inventory, task("1"), sent_at=10 + SUPERSEDED_FOR_SECONDS - 0.1) == []
    assert accept(inventory, task("1"), sent_at=10 + SUPERSEDED_FOR_SECONDS) == ["modified"]


def test_rows_are_compared_by_their_own_requests_whatever_their_order() -> None:
    """Of one batch, a row that was read later does not end the protection against an outdated one."""
    inventory = Inventory()
    accept(inventory, task("1", "other"), sent_at=1)
    accept(inventory, task("2", "other"), sent_at=10)
    batch = [Entry.of(task("1", "new"), sent_at=20), Entry.of(task("1", "other"), sent_at=11)]
    assert [kind_of(change) for change in inventory.accept(batch, now=0)] == ["added"]
    assert inventory.take_refused() == {"other": 10 + SUPERSEDED_FOR_SECONDS}
    assert inventory.take_refused() == {}


def test_a_version_that_was_never_read_may_be_an_older_one_where_a_replica_lags() -> None:
    """After an outdated row, a second change within two seconds waits; elsewhere it shows at once."""
    inventory = Inventory()
    accept(inventory, task("1"), task("1", "other"), sent_at=1)
    assert accept(inventory, task("2"), sent_at=5) + accept(inventory, task("3"), sent_at=6) == ["modified"] * 2
    accept(inventory, task("2", "other"), sent_at=10)
    accept(inventory, task("1", "other"), sent_at=10.5)
    inventory.take_refused()
    assert accept(inventory, task("5"), sent_at=20) == ["modified"]
    assert accept(inventory, task("4"), sent_at=20.5) == []
    assert inventory.take_refused() == {"task": 20 + SUPERSEDED_FOR_SECONDS}
    assert accept(inventory, task("6"), sent_at=22) == ["modified"]
    assert accept(inventory, task("7"), sent_at=400) + accept(inventory, task("8"), sent_at=401) == ["modified"] * 2


@pytest.mark.parametrize(("version", "sent_at"), [("1", 12.9), ("2", 12.9), ("2", 14.9), ("3", 12.9)])
def test_a_removed_task_does_not_come_back_by_rows_that_are_older(version: str, sent_at: float) -> None:
    """Neither a row that was asked for before the removal brings it back, nor one that a replica shows after it."""
    inventory = Inventory()
    accept(inventory, task("1"), sent_at=1)
    accept(inventory, task("2"), sent_at=11.5)
    inventory.remove(["task"], settled_before=12, at=13)
    inventory.forget_superseded(before=12.5)
    assert accept(inventory, task("1", "another"), task(version), sent_at=sent_at) == ["added"]
    assert inventory.get("task") is None


def test_a_removed_task_is_not_believed_for_two_seconds() -> None:
    """A replica that lags does not bring back what is gone; a task that is created again otherwise is believed."""
    inventory = Inventory()
    accept(inventory, task("1"), sent_at=1)
    assert [kind_of(change) for change in inventory.remove(["task"], settled_before=9, at=10)] == ["removed"]
    assert accept(inventory, task("1"), sent_at=11) == []
    assert accept(inventory, task("2"), sent_at=11) == ["added"]


def test_what_was_read_again_is_not_removed() -> None:
    """A task that was seen to exist after it was looked for stays, and so does one that is not known."""
    inventory = Inventory()
    accept(inventory, task("1"), sent_at=10)
    assert inventory.remove(["task", "another"], settled_before=10, at=12) == []
    assert inventory.get("task") is not None


def test_unseen_is_what_is_settled_and_was_not_seen() -> None:
    """Tasks that were read lately are not evaluated by a reading that may be behind."""
    inventory = Inventory()
    accept(inventory, task("1", "seen"), task("1", "unseen"), sent_at=1)
    accept(inventory, task("1", "young"), sent_at=5)
    assert inventory.unseen({"seen"}, settled_before=5) == ["unseen"]


def test_what_is_not_believed_is_forgotten_in_time() -> None:
    """Replaced versions and removed tasks do not pile up."""
    inventory = Inventory()
    for second in range(100):
        accept(inventory, task(str(second)), task("1", f"task-{second}"), sent_at=float(second))
        inventory.remove([f"task-{second}"], settled_before=second + 1, at=float(second))
        inventory.forget_superseded(before=float(second))
    assert len(inventory._superseded) <= 2 * (SUPERSEDED_FOR_SECONDS + 1)
    assert len(inventory._removed) <= SUPERSEDED_FOR_SECONDS + 1
    assert inventory.task_id_of(row_digest(msgspec.Raw(b"{}"))) is None


_texts = st.text(st.characters(exclude_categories=()), max_size=20)  # halves of characters among them
_tasks = st.builds(
    Task,
    task_id=_texts,
    channel_id=_texts,
    configuration=configurations,
    row_digest=st.integers(0, 2**64 - 1),
    digests=st.binary(max_size=60),
    push_times=st.binary(max_size=20),
)
_times = st.floats(allow_nan=False)


@given(_tasks, _times, _times, _times, st.booleans())
def test_what_is_packed_is_unpacked_as_it_was(
    task: Task, first_seen: float, last_changed: float, sent_at: float, start_known: bool
) -> None:
    """Whatever a row says and whenever it was read, an entry gives the same task and times back."""
    times = {"first_seen": first_seen, "last_changed": last_changed, "sent_at": sent_at}
    entry = Entry.of(task, **times, start_known=start_known)
    assert entry.task == task
    assert entry.start_known is start_known
    assert entry.at(first_seen=1.0, last_changed=2.0, start_known=not start_known) == Entry.of(
        task, first_seen=1.0, last_changed=2.0, sent_at=sent_at, start_known=not start_known
    )
    assert (entry.first_seen, entry.last_changed, entry.sent_at) == (first_seen, last_changed, sent_at)
    assert (entry.task_id, entry.channel_id) == (task.task_id, task.channel_id)
    assert (entry.row_digest, entry.push_times) == (task.row_digest, task.push_times)
    other = msgspec.structs.replace(task, digests=task.digests + task.push_times, push_times=b"")
    assert entry.same_content(Entry.of(other, **times, start_known=False)) is task.same_content(other)
    assert entry.configuration is entry.task.configuration is task.configuration
