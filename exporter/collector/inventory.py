"""The accepted tasks of one app, packed since there can be hundreds of thousands, and what changes in them."""

import struct
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import Final

import msgspec

from exporter.core.task import Configuration, Task

# The digest of the row, three times, whether the start is known. The content follows: the sizes of the channel's name
# and of the digests, both of them, and the times of push URLs.
_HEAD: Final = struct.Struct("=Qddd?")
_SIZES: Final = struct.Struct("=HH")  # neither is as much as 1 KiB
_CHANNEL: Final = _HEAD.size + _SIZES.size
_ROW_DIGEST: Final = struct.Struct("=Q")
_TIME: Final = struct.Struct("=d")
_FIRST_SEEN, _LAST_CHANGED, _SENT_AT, _START_KNOWN = 8, 16, 24, 32


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One task that was read. Times are wall-clock seconds, of when it was noticed here; 0 until it is accepted."""

    task_id: str
    configuration: Configuration
    packed: bytes

    @classmethod
    def of(
        cls,
        task: Task,
        *,
        sent_at: float,
        first_seen: float = 0.0,
        last_changed: float = 0.0,
        start_known: bool = False,
    ) -> "Entry":
        """Pack a task of a request's answer; `sent_at` is monotonic. `start_known`: a process saw it being added."""
        channel_id = task.channel_id.encode("utf-8", "surrogatepass")
        head = _HEAD.pack(task.row_digest, first_seen, last_changed, sent_at, start_known)
        sizes = _SIZES.pack(len(channel_id), len(task.digests))
        packed = b"".join((head, sizes, channel_id, task.digests, task.push_times))
        return cls(task.task_id, task.configuration, packed)

    def at(self, *, first_seen: float, last_changed: float, start_known: bool) -> "Entry":
        """Return it with other times."""
        head = _HEAD.pack(self.row_digest, first_seen, last_changed, self.sent_at, start_known)
        return Entry(self.task_id, self.configuration, head + self.packed[_HEAD.size :])

    @property
    def task(self) -> Task:
        """The task, made again each time."""
        channel_size, digests_size = _SIZES.unpack_from(self.packed, _HEAD.size)
        channel_end = _CHANNEL + channel_size
        digests_end = channel_end + digests_size
        return Task(
            self.task_id,
            self.packed[_CHANNEL:channel_end].decode("utf-8", "surrogatepass"),
            self.configuration,
            self.row_digest,
            self.packed[channel_end:digests_end],
            self.packed[digests_end:],
        )

    def same_content(self, other: "Entry") -> bool:
        """Whether nothing that is configured differs, however the two rows were spelled."""
        content, others = self.packed[_HEAD.size :], other.packed[_HEAD.size :]
        return content == others and self.configuration == other.configuration

    @property
    def channel_id(self) -> str:
        """The task's."""
        channel_size, _ = _SIZES.unpack_from(self.packed, _HEAD.size)
        return self.packed[_CHANNEL : _CHANNEL + channel_size].decode("utf-8", "surrogatepass")

    @property
    def push_times(self) -> bytes:
        """The task's."""
        channel_size, digests_size = _SIZES.unpack_from(self.packed, _HEAD.size)
        return self.packed[_CHANNEL + channel_size + digests_size :]

    @property
    def row_digest(self) -> int:
        """The task's."""
        return _ROW_DIGEST.unpack_from(self.packed)[0]  # type: ignore[no-any-return]

    @property
    def first_seen(self) -> float:
        """When it was first seen."""
        return _TIME.unpack_from(self.packed, _FIRST_SEEN)[0]  # type: ignore[no-any-return]

    @property
    def last_changed(self) -> float:
        """When it was last seen to change."""
        return _TIME.unpack_from(self.packed, _LAST_CHANGED)[0]  # type: ignore[no-any-return]

    @property
    def sent_at(self) -> float:
        """When the request that brought this version was sent, in monotonic seconds."""
        return _TIME.unpack_from(self.packed, _SENT_AT)[0]  # type: ignore[no-any-return]

    @property
    def start_known(self) -> bool:
        """Whether it was added while this or an earlier process looked."""
        return bool(self.packed[_START_KNOWN])


SUPERSEDED_FOR_SECONDS: Final = 2.0
"""For this long a replaced version or a removed task is not believed when it is read again: a replica of the service
may lag by a second. Then the task is read once more, so a change that is really taken back shows that much later."""
LAG_REMEMBERED_SECONDS: Final = 300.0
"""For this long after an outdated row, no other version of a task is believed within `SUPERSEDED_FOR_SECONDS` after the
last one: a replica may show a version between them that was never read."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """One task that was added (nothing before), removed (nothing after) or modified."""

    before: Entry | None
    after: Entry | None

    @property
    def task_id(self) -> str:
        """The task's."""
        entry = self.after or self.before
        return "" if entry is None else entry.task_id


class Inventory:
    """The accepted tasks of one app, by TaskId; each change is one synchronous step."""

    def __init__(self) -> None:
        self.starts_known = False
        """Whether tasks that come now were added just now, not before the first sweep of this process."""
        self._entries: dict[str, Entry] = {}
        self._task_ids: dict[int, str] = {}
        self._superseded: dict[int, float] = {}
        """Until when rows with a digest are not believed, by when their request was sent."""
        self._removed: dict[str, float] = {}
        """When tasks were removed: rows of requests that were sent before are older than that."""
        self._expiries: deque[tuple[float, int | str]] = deque()
        self._refused: dict[str, float] = {}
        self._lags_until = -inf  # monotonic seconds
        self._first_seen: dict[str, float] = {}  # of tasks that an earlier process saw, until they are seen again

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def get(self, task_id: str) -> Entry | None:
        """Return a task's entry; None where it is not known."""
        return self._entries.get(task_id)

    def task_id_of(self, row_digest: int) -> str | None:
        """Return whose current row has this digest; None: the row is new or changed."""
        return self._task_ids.get(row_digest)

    def restore(self, entries: Iterable[Entry]) -> list[Change]:
        """Begin with tasks that were accepted before; return each as one that was added."""
        changes = []
        for entry in entries:
            self._put(entry)
            changes.append(Change(before=None, after=entry))
        return changes

    def remember_first_seen(self, first_seen: Mapping[str, float]) -> None:
        """Let tasks that come be as old as an earlier process says, in Unix time by TaskId."""
        self._first_seen = dict(first_seen)

    def age(self, older: Iterable[Entry]) -> list[Change]:
        """Let known tasks be as old as an earlier process says; return each as a change to the same."""
        changes = []
        for known in older:
            entry = self._entries.get(known.task_id)
            if entry is not None and known.first_seen < entry.first_seen:
                is_same = entry.row_digest == known.row_digest
                last_changed = known.last_changed if is_same else entry.last_changed
                aged = entry.at(first_seen=known.first_seen, last_changed=last_changed, start_known=known.start_known)
                self._entries[known.task_id] = aged
                changes.append(Change(before=entry, after=aged))
        return changes

    def unseen(self, seen: set[str], *, settled_before: float) -> list[str]:
        """Return the TaskIds that are not in `seen`, of tasks as they were before a monotonic time."""
        return [
            task_id
            for task_id, entry in self._entries.items()
            if task_id not in seen and entry.sent_at < settled_before
        ]

    def accept(self, rows: Iterable[Entry], *, now: float) -> list[Change]:
        """Take in rows, of which a task's newest reading wins; return what changed, noticed `now` by the wall clock."""
        changes = []
        for fresh in rows:
            change = self._accept_row(fresh, now)
            if change is not None:
                changes.append(change)
        return changes

    def take_refused(self) -> dict[str, float]:
        """Return whose rows were refused as outdated since the last call, and from when (monotonic) to read again."""
        refused, self._refused = self._refused, {}
        return refused

    def remove(self, task_ids: Iterable[str], *, settled_before: float, at: float) -> list[Change]:
        """Take out tasks that are gone, `at` a monotonic time, but for those that were read after `settled_before`."""
        changes = []
        for task_id in task_ids:
            entry = self._entries.get(task_id)
            if entry is not None and entry.sent_at < settled_before:
                del self._entries[task_id]
                self._supersede(entry.row_digest, at)
                self._removed[task_id] = at
                self._expiries.append((at, task_id))
                changes.append(Change(before=entry, after=None))
        return changes

    def forget_superseded(self, *, before: float) -> None:
        """Forget versions that no reading needs which began at or after `before`, in monotonic seconds."""
        while self._expiries and self._expiries[0][0] <= before:
            expiry, key = self._expiries.popleft()
            if isinstance(key, str):
                if self._removed.get(key) == expiry:
                    del self._removed[key]
            elif self._superseded.get(key) == expiry:
                del self._superseded[key]

    def _accept_row(self, fresh: Entry, now: float) -> Change | None:
        entry = self._entries.get(fresh.task_id)
        sent_at, row_digest = fresh.sent_at, fresh.row_digest
        if sent_at < (self._removed.get(fresh.task_id, -inf) if entry is None else entry.sent_at):
            return None
        believed_from = self._superseded.get(row_digest, -inf)
        if sent_at < believed_from:
            self._lags_until = sent_at + LAG_REMEMBERED_SECONDS
        elif entry is not None and entry.row_digest != row_digest and sent_at < self._lags_until:
            believed_from = entry.sent_at + SUPERSEDED_FOR_SECONDS
        if sent_at < believed_from:
            self._refused[fresh.task_id] = believed_from
            return None
        if entry is None:
            first_seen = self._first_seen.pop(fresh.task_id, now)
            return Change(
                None, self._put(fresh.at(first_seen=first_seen, last_changed=now, start_known=self.starts_known))
            )
        if row_digest == entry.row_digest:
            return None
        self._supersede(entry.row_digest, sent_at)
        fresh = msgspec.structs.replace(fresh, task_id=entry.task_id)  # keep one text of a TaskId
        same = fresh.same_content(entry)
        last_changed = entry.last_changed if same else now
        times = {"first_seen": entry.first_seen, "last_changed": last_changed}
        after = self._put(fresh.at(**times, start_known=entry.start_known))
        return None if same else Change(entry, after)

    def _put(self, entry: Entry) -> Entry:
        row_digest = entry.row_digest
        self._entries[entry.task_id] = entry
        self._task_ids[row_digest] = entry.task_id
        self._superseded.pop(row_digest, None)
        return entry

    def _supersede(self, row_digest: int, at: float) -> None:
        self._task_ids.pop(row_digest, None)
        self._superseded[row_digest] = at + SUPERSEDED_FOR_SECONDS
        self._expiries.append((at + SUPERSEDED_FOR_SECONDS, row_digest))
