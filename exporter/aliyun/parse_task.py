"""One row of the list, read into a `Task`.

Nothing in a row can cost more than itself: an odd value is counted under its field; an unknown key, and whatever
can't be read, is kept as a part of the digest `other`, so that a change of it is seen even so.

First what is the task's own is taken out: ids, URLs, texts. What is left is how it is set up, which many tasks have
in common, and which is read once for all of them.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec
import xxhash

from exporter.aliyun import lenient_json
from exporter.aliyun import row_schema as documented
from exporter.aliyun.errors import ApiError
from exporter.aliyun.field_reader import FieldReader, Unreadable, read_text
from exporter.aliyun.parse_configuration import (
    NO_PANE_USERS,
    NOBODY,
    Interner,
    User,
    count_pane_users,
    read_configuration,
)
from exporter.aliyun.push_url import Pushes, take_pushes
from exporter.aliyun.row_schema import PaneUser, Row, SeiParams, UserInfo, UserPane
from exporter.core.collection_state import State
from exporter.core.task import Configuration, PaneUsers, Task

MAX_ROW_BYTES: Final = 256 * 1024
MAX_ID_BYTES: Final = 256  # of a TaskId or ChannelId; documented are 55 and 64 characters. A longer one is unreadable.

_Text = TypeVar("_Text", str, User)
_ROW: Final = documented.decoder_of(documented.Row)
_ENCODER: Final = msgspec.msgpack.Encoder()


def hide_texts(reader: FieldReader, row: Row, channel_id: str = "") -> PaneUsers:
    """Replace each text of which only a digest is kept by True or None.

    Return how panes and listed users go together.
    """
    single = row.single_sub_params
    if single:
        single.user_id = reader.hide("users", single.user_id, "SingleSubParams.UserId")
    _hide_payload(reader, row.sei_params)
    transcode = row.transcode_params
    if not transcode:
        return NO_PANE_USERS
    background = transcode.background
    if background:
        background.url = reader.hide("background", background.url, "Background.URL")
    panes = (transcode.layout.user_panes if transcode.layout else None) or []
    infos = transcode.user_infos or []
    _hide_images(reader, panes)
    shown = _hide_users(reader, [pane.user_info for pane in panes], "UserInfo")
    listed = _hide_users(reader, infos, "UserInfos")
    _hide_payload(reader, transcode.sei_params)
    return count_pane_users(panes, shown, infos, listed, channel_id) if shown else NO_PANE_USERS


def _hide_images(reader: FieldReader, panes: Sequence[UserPane]) -> None:
    """Hide which images are shown where a camera is off."""
    images = []
    for pane in panes:
        image = pane.background_image_url
        if type(image) is not str:
            image = reader.text(image, "UserPanes.BackgroundImageUrl")
        pane.background_image_url = True if image else None
        images.append(image)
    if kept := _stripped(images, ""):
        reader.note_hidden("background", "UserPanes.BackgroundImageUrl", kept)


def _hide_users(reader: FieldReader, users: Sequence[PaneUser | UserInfo | None], field: str) -> list[User]:
    """Hide whose streams are shown or mixed, and return it."""
    found: list[User] = []
    for user in users:
        if not user:
            found.append(NOBODY)
            continue
        channel_id, user_id = user.channel_id, user.user_id
        if type(channel_id) is not str:
            channel_id = reader.text(channel_id, f"{field}.ChannelId")
        if type(user_id) is not str:
            user_id = reader.text(user_id, f"{field}.UserId")
        user.channel_id = user.user_id = None
        found.append((channel_id, user_id))
    if kept := _stripped(found, NOBODY):
        reader.note_hidden("users", field, kept)
    return found


def _stripped(texts: list[_Text], absent: _Text) -> list[_Text]:
    """Leave out what is absent at the end, as one more pane of nobody changes no users."""
    end = len(texts)
    while end and texts[end - 1] == absent:
        end -= 1
    return texts[:end]


def _hide_payload(reader: FieldReader, sei: SeiParams | None) -> None:
    through = sei.pass_through if sei else None
    if through:
        through.payload_content = reader.hide("sei", through.payload_content, "PassThrough.PayloadContent")
        key = reader.hide("sei", through.payload_content_key, "PassThrough.PayloadContentKey")
        through.payload_content_key = key


def read_row(row: msgspec.Raw | bytes, *, app_id: str, share: Interner | None = None) -> Task | None:
    """Read the JSON of one row; None if it names no TaskId that can be read.

    A row without an AppId is taken for one of `app_id`, another one raises ApiError. `share` lets tasks have in
    common what is equal in them; it is kept as long as the tasks are.
    """
    reader = FieldReader()
    content = _decode(row, reader)
    if _identity(content.app_id) not in {"", app_id}:
        raise ApiError(
            State.INVALID_RESPONSE,
            "the service listed a task of another app: check that nothing in between caches its answers",
            status=200,
        )
    task_id = _identity(content.task_id)
    if not task_id or _is_too_long(task_id):
        return None
    share = share or Interner()
    channel_id = reader.text(content.channel_id, "ChannelId")
    if _is_too_long(channel_id):
        reader.unreadable("ChannelId", channel_id)
        channel_id = ""
    content.app_id = content.task_id = content.channel_id = None
    pushes, push_digests, push_times = take_pushes(reader, content)
    pane_users = hide_texts(reader, content, channel_id)
    configuration = _configuration(reader, content, pushes, pane_users, share)
    return Task(task_id, channel_id, configuration, row_digest(row), reader.digests() + push_digests, push_times)


def row_digest(row: msgspec.Raw | bytes) -> int:
    """Return the digest of a row's bytes: equal bytes need no reading. It has 60 bits, since 64 take 16 B more."""
    return xxhash.xxh3_64_intdigest(memoryview(row)) >> 4


def _decode(row: msgspec.Raw | bytes, reader: FieldReader) -> documented.Row:
    """Return a row in its documented shape; an empty one if that is not possible."""
    try:
        return _ROW.decode(row)
    except (ValueError, RecursionError):
        content = lenient_json.decode_or(bytes(row))
        return lenient_json.mend(content, documented.Row, reader) if isinstance(content, dict) else documented.Row()


def _identity(value: object) -> str:
    try:
        return read_text(value)
    except Unreadable:
        return ""


def _is_too_long(identity: str) -> bool:
    # A usual one is so short that it need not be encoded: no character takes more than four bytes.
    return len(identity) > MAX_ID_BYTES // 4 and len(identity.encode()) > MAX_ID_BYTES


def _configuration(
    reader: FieldReader, row: documented.Row, pushes: Pushes, pane_users: PaneUsers, share: Interner
) -> Configuration:
    """Read what is configured, once for all rows that say the same, unless values are odd that must be noted."""
    setup = _setup(reader, row, pushes, pane_users)
    known: Configuration | None = None if setup is None else share.recall(setup)
    if known is None:
        noted_before = len(reader.odd)
        known = share(read_configuration(reader, row, pushes, pane_users, share))
        if setup is not None and len(reader.odd) == noted_before:
            share.remember(setup, known)
    return known


def _setup(reader: FieldReader, row: documented.Row, pushes: Pushes, pane_users: PaneUsers) -> bytes | None:
    """Return a digest of what a configuration is made from; None where that is unknown."""
    try:
        return xxhash.xxh3_128_digest(_ENCODER.encode((row, pushes, pane_users, reader.errors, reader.unknown)))
    except (OverflowError, RecursionError):  # absurd numbers and depths can be decoded, but not encoded
        return None
