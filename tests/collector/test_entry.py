"""A packed task is the task, to the last bit."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from exporter.collector.entry import Entry
from exporter.core.task import Task
from tests.metrics.builders import configurations

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
