"""One accepted task, packed: an inventory holds hundreds of thousands of them."""

import struct
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
        """Pack a task.

        Args:
            task: What was read.
            sent_at: Monotonic seconds of when the request that brought this version was sent.
            first_seen: Wall-clock seconds.
            last_changed: Wall-clock seconds.
            start_known: Whether it was added while this or an earlier process looked, about at `first_seen`.
        """
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
