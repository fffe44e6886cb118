"""One row of the list, read into a `Task`.

Nothing in a row can cost more than itself: an odd value is counted under its field; an unknown key, and whatever
can't be read, is kept as a part of the digest `other`, so that a change of it is seen even so.

First what is the task's own is taken out: ids, URLs, texts. What is left is how it is set up, which many tasks have
in common, and which is read once for all of them.
"""

from collections.abc import Hashable
from typing import Final, TypeVar

import msgspec
import xxhash

from exporter.aliyun import field_values as values
from exporter.aliyun import json_repair as mending
from exporter.aliyun import row_schema as documented
from exporter.aliyun.errors import ApiError
from exporter.aliyun.field_reader import FieldReader
from exporter.aliyun.interner import Interner
from exporter.aliyun.parse_configuration import read_configuration
from exporter.aliyun.push_url import Pushes, take_pushes
from exporter.aliyun.row_schema import Row, SeiParams, TranscodeParams
from exporter.core.collection_state import State
from exporter.core.task import Configuration, Task


def hide_texts(reader: FieldReader, row: Row) -> None:
    """Replace each text of which only a digest is kept by True, so that what is left holds nobody's own."""
    single = row.single_sub_params
    if single:
        single.user_id = reader.hide("users", single.user_id, "SingleSubParams.UserId")
    _hide_payload(reader, row.sei_params)
    if row.transcode_params:
        _hide_transcode(reader, row.transcode_params)


def _hide_transcode(reader: FieldReader, transcode: TranscodeParams) -> None:
    """Hide whose streams are mixed, and which images are shown."""
    background = transcode.background
    if background:
        background.url = reader.hide("background", background.url, "Background.URL")
    panes = transcode.layout.user_panes if transcode.layout else None
    for index, pane in enumerate(panes or ()):
        image = reader.hide("background", pane.background_image_url, "UserPanes.BackgroundImageUrl", index)
        pane.background_image_url = image
        user = pane.user_info
        if user:
            user.channel_id = reader.hide("users", user.channel_id, "UserInfo.ChannelId", index)
            user.user_id = reader.hide("users", user.user_id, "UserInfo.UserId", index)
    for index, info in enumerate(transcode.user_infos or ()):
        info.channel_id = reader.hide("users", info.channel_id, "UserInfos.ChannelId", index)
        info.user_id = reader.hide("users", info.user_id, "UserInfos.UserId", index)
    _hide_payload(reader, transcode.sei_params)


def _hide_payload(reader: FieldReader, sei: SeiParams | None) -> None:
    """Hide what is written into the stream."""
    through = sei.pass_through if sei else None
    if through:
        through.payload_content = reader.hide("sei", through.payload_content, "PassThrough.PayloadContent")
        key = reader.hide("sei", through.payload_content_key, "PassThrough.PayloadContentKey")
        through.payload_content_key = key


MAX_ROW_BYTES: Final = 256 * 1024
MAX_ID_BYTES: Final = 256
"""Of a TaskId or ChannelId; documented are 55 and 64 characters. A longer one is unreadable."""
MAX_URLS: Final = 100
MAX_PANES: Final = 100
MAX_USERS: Final = 1000
"""A longer list is unreadable as a whole, and its task is shown without it."""

_Part = TypeVar("_Part", bound=documented.Part)
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
        The task, or None where the row names no TaskId that can be read.

    Raises:
        ForeignRow: It names another app.
    """
    raw = bytes(row)
    reader = FieldReader()
    content = _decode(raw, reader)
    if _identity(content.app_id) not in {"", app_id}:
        raise ForeignRow
    task_id = _identity(content.task_id)
    if not task_id or _is_too_long(task_id):
        return None
    share = share or Interner()
    channel_id = reader.text(content.channel_id, "ChannelId")
    if _is_too_long(channel_id):
        reader.unreadable("ChannelId", channel_id)
        channel_id = ""
    _leave_out_long_lists(reader, content)
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


def _is_too_long(identity: str) -> bool:
    """Whether no service would give such an id."""
    return len(identity) > MAX_ID_BYTES or len(identity.encode()) > MAX_ID_BYTES


def _leave_out_long_lists(reader: FieldReader, row: documented.Row) -> None:
    """Note lists that are longer than any that is meant, so that they cost no more than their digest."""
    row.multi_stream_url = _bounded(reader, row.multi_stream_url, "MultiStreamURL", MAX_URLS)
    transcode = row.transcode_params
    if transcode:
        transcode.user_infos = _bounded(reader, transcode.user_infos, "UserInfos", MAX_USERS)
        if transcode.layout:
            transcode.layout.user_panes = _bounded(reader, transcode.layout.user_panes, "UserPanes", MAX_PANES)


def _bounded(reader: FieldReader, elements: list[_Part] | None, field: str, most: int) -> list[_Part] | None:
    """Return a list of at most this many elements, else None."""
    if elements is None or len(elements) <= most:
        return elements
    reader.unreadable(field, msgspec.json.encode(elements).decode())
    return None


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
    """Return all that a configuration is made from; None where that is unknown."""
    try:
        content = xxhash.xxh3_128_digest(msgspec.msgpack.encode(row))
    except (OverflowError, RecursionError):  # absurd numbers and depths can be decoded, but not encoded
        return None
    return content, pushes, tuple(reader.errors), tuple(reader.unknown)
