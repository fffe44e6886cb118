"""One row of the list, read into a `Task`.

Nothing in a row can cost more than itself: an odd value is counted under its field; an unknown key, and whatever
can't be read, is kept as a part of the digest `other`, so that a change of it is seen even so.

First what is the task's own is taken out: ids, URLs, texts. What is left is how it is set up, which many tasks have
in common, and which is read once for all of them.
"""

from collections.abc import Hashable
from typing import Final

import msgspec
import xxhash

from exporter.aliyun import documented, mending, values
from exporter.aliyun.configuration import read_configuration
from exporter.aliyun.errors import ApiError
from exporter.aliyun.fields import FieldReader
from exporter.aliyun.hiding import hide_texts
from exporter.aliyun.interning import Interner
from exporter.aliyun.pushes import Pushes, take_pushes
from exporter.state import State
from exporter.task import Configuration, Task

_ROW: Final = msgspec.json.Decoder(documented.Row)


class ForeignRow(ApiError):  # noqa: N818 - it names what came, as the callers' tables do
    """A row of another app than the one that was asked for."""

    def __init__(self) -> None:
        super().__init__(
            State.INVALID_RESPONSE,
            "the service listed a task of another app: check that nothing in between caches its answers",
            status=200,
        )


def read_row(row: msgspec.Raw | bytes, *, app_id: str, share: Interner | None = None) -> Task | None:
    """Read one row.

    Args:
        row: The row's JSON.
        app_id: Whose rows were asked for; a row without an AppId is taken for one of them.
        share: Lets tasks have in common what is equal in them; kept as long as the tasks are.

    Returns:
        The task, or None where the row names no TaskId.

    Raises:
        ForeignRow: It names another app.
    """
    raw = bytes(row)
    reader = FieldReader()
    content = _decode(raw, reader)
    if _identity(content.app_id) not in {"", app_id}:
        raise ForeignRow
    task_id = _identity(content.task_id)
    if not task_id:
        return None
    share = share or Interner()
    channel_id = reader.text(content.channel_id, "ChannelId")
    content.app_id = content.task_id = content.channel_id = None
    pushes, push_digests = take_pushes(reader, content, share)
    hide_texts(reader, content)
    configuration = _configuration(reader, content, pushes, share)
    return Task(task_id, channel_id, configuration, xxhash.xxh3_64_intdigest(raw), reader.digests() + push_digests)


def _decode(raw: bytes, reader: FieldReader) -> documented.Row:
    """Return a row in its documented shape; an empty one where there is none to be had."""
    try:
        return _ROW.decode(raw)
    except (ValueError, RecursionError):
        content = mending.decode(raw)
        return mending.mend(content, documented.Row, reader) if isinstance(content, dict) else documented.Row()


def _identity(value: object) -> str:
    """Return an identity; empty where there is none that can be read."""
    try:
        return values.text(value)
    except values.Unreadable:
        return ""


def _configuration(reader: FieldReader, row: documented.Row, pushes: Pushes, share: Interner) -> Configuration:
    """Read what is configured, once for all rows that say the same, unless values are odd that must be noted."""
    setup = _setup(reader, row, pushes)
    known: Configuration | None = None if setup is None else share.recall(setup)
    if known is None:
        noted_before = len(reader.odd)
        known = share(read_configuration(reader, row, pushes, share))
        if setup is not None and len(reader.odd) == noted_before:
            share.remember(setup, known)
    return known


def _setup(reader: FieldReader, row: documented.Row, pushes: Pushes) -> Hashable | None:
    """Return all that a configuration is made from; None where that can't be told."""
    try:
        content = xxhash.xxh3_128_digest(msgspec.msgpack.encode(row))
    except (OverflowError, RecursionError):  # absurd numbers and depths can be decoded, but not encoded
        return None
    return content, pushes, tuple(reader.errors), tuple(reader.unknown)
