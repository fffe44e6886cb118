"""One row of the list, read into a `Task`; whatever can't be read is counted, and kept in the digest `other`.

First what is the task's own is taken out: ids, URLs, texts. What is left is how it is set up, which is read once for
all tasks that have it in common.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
import xxhash

from exporter.aliyun import lenient_json
from exporter.aliyun import row_schema as documented
from exporter.aliyun.errors import ApiError
from exporter.aliyun.field_reader import FieldReader, Unreadable, read_text
from exporter.aliyun.push_url import Pushes, take_pushes
from exporter.aliyun.row_schema import PaneUser, Row, SeiParams, UserInfo, UserPane, is_set
from exporter.core import task as tasks
from exporter.core.collection_state import State
from exporter.core.task import MIXED, SINGLE, Audio, Configuration, Encoding, Pane, PaneUsers, Sei, Source, Task, Video

LIMIT: Final = 40_000  # a value takes some 200 bytes here, so those that no task has any more hold about 8 MiB at most

_Value = TypeVar("_Value")


class Interner:
    """Lets equal values share one object; at the limit it starts afresh.

    Values of different types must not equal each other, as 1, 1.0 and True do.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._known: dict[Any, Any] = {}

    def __call__(self, value: _Value) -> _Value:
        """Return the first of all values that equal this one."""
        self._make_room()
        known: _Value = self._known.setdefault(value, value)
        return known

    def recall(self, origin: Hashable) -> Any:
        """Return the value that was remembered for what it was made from; None: there is none."""
        return self._known.get(origin)

    def remember(self, origin: Hashable, value: object) -> None:
        """Keep a value under what it was made from, which must not equal any value."""
        self._make_room()
        self._known[origin] = value

    def _make_room(self) -> None:
        if len(self._known) >= self._limit:
            self._known.clear()


def _names(*canonical: str, **spellings: str) -> Mapping[str, str]:
    return {spelling: name for name in canonical for spelling in (name, name.casefold())} | spellings


_REGIONS: Final = _names(*tasks.REGIONS)
_CODECS: Final = _names(*tasks.VIDEO_CODECS)
_PROFILES: Final = _names(*tasks.VIDEO_PROFILES)
_PRESETS: Final = _names(*tasks.VIDEO_PRESETS)
_SOURCE_TYPES: Final = _names(*tasks.SOURCE_TYPES, sharescreen="screen")
_STREAM_TYPES: Final = {**_names(*tasks.STREAM_TYPES), "0": "original", "1": "audio", "2": "video"}
_MIX_MODES: Final = {**_names(*tasks.MIX_MODES), "0": SINGLE, "1": MIXED}
_CHANNELS: Final = frozenset(tasks.AUDIO_CHANNELS)
_SAMPLE_RATES: Final = frozenset(tasks.AUDIO_SAMPLE_RATES_HERTZ)

_WITH_PICTURE: Final = frozenset({None, "", "0", "2"})
NO_PANE_USERS: Final = PaneUsers()
User = tuple[str, str]  # channel id and user id
NOBODY: Final[User] = ("", "")

_ENHANCED: Final = documented.decoder_of(documented.EnhancedParam)


def read_configuration(
    reader: FieldReader, row: documented.Row, pushes: Pushes, pane_users: PaneUsers, share: Interner
) -> Configuration:
    """Read what is configured from a row after `take_pushes` and `hide_texts`, and what `reader` has noted before."""
    transcode = row.transcode_params or documented.TranscodeParams()
    has_transcode_params = is_set(row.transcode_params)
    mix_mode = reader.name(row.mix_mode, "MixMode", _MIX_MODES)
    if mix_mode is None:
        mix_mode = SINGLE if is_set(row.single_sub_params) and not has_transcode_params else MIXED
    background = transcode.background or documented.Background()
    return Configuration(
        region=share(reader.name(row.region, "Region", _REGIONS)),
        mix_mode=share(mix_mode),
        idle_timeout_seconds=reader.amount(row.max_idle_time, "MaxIdleTime"),
        outputs=share(tuple(map(share, pushes.outputs))),
        has_stream_url=pushes.has_stream_url,
        has_multi_stream_url=pushes.has_multi_stream_url,
        has_transcode_params=has_transcode_params,
        source=share(_source(reader, row.single_sub_params)),
        encoding=share(_encoding(reader, transcode.encode_params, share)),
        panes=share(_panes(reader, transcode.layout, share)),
        pane_users=share(pane_users),
        background_render_mode=reader.amount(background.render_mode, "Background.RenderMode"),
        has_background=bool(background.url),
        users=len(transcode.user_infos or ()),
        user_streams=share(_user_streams(reader, transcode.user_infos or [])),
        sei=share(_sei(reader, _sei_params(reader, row.sei_params, transcode.sei_params))),
        field_errors=tuple(sorted(reader.errors)),
        unknown_values=tuple(sorted(reader.unknown)),
    )


def count_pane_users(
    panes: Sequence[documented.UserPane],
    shown: Sequence[User],
    infos: Sequence[documented.UserInfo],
    listed: Sequence[User],
    channel_id: str,
) -> PaneUsers:
    """Compare the users whom panes show with those whom UserInfos lists; one without a channel is of `channel_id`."""
    if _are_usual(shown, infos, listed):
        return NO_PANE_USERS
    only_audio: dict[User, bool] = {}
    for info, (channel, name) in zip(infos, listed, strict=True):
        user = channel or channel_id, name
        is_audio = _STREAM_TYPES.get(str(info.stream_type).casefold()) == "audio"
        only_audio[user] = only_audio.get(user, True) and is_audio
    seen: set[tuple[User, str]] = set()
    unlisted = audio = repeated = 0
    for pane, (channel, name) in zip(panes, shown, strict=True):
        if name:
            user = channel or channel_id, name
            unlisted += bool(only_audio) and user not in only_audio
            audio += only_audio.get(user, False)
            source = user, str((pane.user_info.source_type if pane.user_info else None) or "camera").casefold()
            repeated += source in seen
            seen.add(source)
    return PaneUsers(unlisted, audio, repeated) if unlisted or audio or repeated else NO_PANE_USERS


def _are_usual(shown: Sequence[User], infos: Sequence[documented.UserInfo], listed: Sequence[User]) -> bool:
    """Whether each pane has a user of its own that is listed, and not as audio, which costs little to see."""
    users = set(shown)
    try:
        have_pictures = _WITH_PICTURE.issuperset([info.stream_type for info in infos])
    except TypeError:  # a list where a name belongs
        return False
    return have_pictures and len(users) == len(shown) and (shown == listed or users.issubset(listed))


def _source(reader: FieldReader, single: documented.SingleSubParams | None) -> Source | None:
    if single is None or not is_set(single):
        return None
    return Source(
        stream_type=reader.name(single.stream_type, "SingleSubParams.StreamType", _STREAM_TYPES) or "original",
        source_type=reader.name(single.source_type, "SingleSubParams.SourceType", _SOURCE_TYPES) or "camera",
    )


def _encoding(reader: FieldReader, encode: documented.EncodeParams | None, share: Interner) -> Encoding | None:
    if encode is None or not is_set(encode):
        return None
    enhanced = _enhanced(reader, encode.enhanced_param)
    video = Video(
        codec=reader.name(encode.video_codec, "EncodeParams.VideoCodec", _CODECS),
        profile=reader.name(enhanced.profile, "EnhancedParam.profile", _PROFILES),
        preset=reader.name(enhanced.preset, "EnhancedParam.preset", _PRESETS),
        bitrate_kbps=reader.amount(encode.video_bitrate, "EncodeParams.VideoBitrate"),
        framerate=reader.amount(encode.video_framerate, "EncodeParams.VideoFramerate"),
        gop=reader.amount(encode.video_gop, "EncodeParams.VideoGop"),
        width=reader.amount(encode.video_width, "EncodeParams.VideoWidth"),
        height=reader.amount(encode.video_height, "EncodeParams.VideoHeight"),
    )
    audio = Audio(
        bitrate_kbps=reader.amount(encode.audio_bitrate, "EncodeParams.AudioBitrate"),
        channels=reader.one_of(encode.audio_channels, "EncodeParams.AudioChannels", _CHANNELS),
        sample_rate_hertz=reader.one_of(encode.audio_sample_rate, "EncodeParams.AudioSampleRate", _SAMPLE_RATES),
    )
    audio_only = reader.truth(encode.audio_only, "EncodeParams.AudioOnly") or False
    return Encoding(audio_only, share(video), share(audio))


def _enhanced(reader: FieldReader, value: object) -> documented.EnhancedParam:
    content = value
    if isinstance(value, str) and value:
        try:
            return _ENHANCED.decode(value)
        except (ValueError, RecursionError):
            content = lenient_json.decode_or(value.encode(), otherwise=value)
    if isinstance(content, dict):
        return lenient_json.mend(content, documented.EnhancedParam, reader, place=".EnhancedParam")
    if content is not None and content != "":
        reader.unreadable("EncodeParams.EnhancedParam", content)
    return documented.EnhancedParam()


def _panes(reader: FieldReader, layout: documented.Layout | None, share: Interner) -> tuple[Pane, ...]:
    panes = layout.user_panes if layout else None
    return tuple(share(_pane(reader, pane)) for pane in panes or ())


def _pane(reader: FieldReader, pane: documented.UserPane) -> Pane:
    source_type = pane.user_info.source_type if pane.user_info else None
    return Pane(
        x=reader.decimal(pane.x, "UserPanes.X"),
        y=reader.decimal(pane.y, "UserPanes.Y"),
        width=reader.decimal(pane.width, "UserPanes.Width"),
        height=reader.decimal(pane.height, "UserPanes.Height"),
        z_order=reader.integer(pane.z_order, "UserPanes.ZOrder"),
        render_mode=reader.amount(pane.render_mode, "UserPanes.RenderMode"),
        source_type=reader.name(source_type, "UserInfo.SourceType", _SOURCE_TYPES),
        has_background_image=bool(pane.background_image_url),
    )


def _user_streams(reader: FieldReader, users: list[documented.UserInfo]) -> tuple[tuple[str | None, str | None], ...]:
    return tuple(
        (
            reader.name(user.source_type, "UserInfos.SourceType", _SOURCE_TYPES),
            reader.name(user.stream_type, "UserInfos.StreamType", _STREAM_TYPES),
        )
        for user in users
    )


def _sei_params(
    reader: FieldReader, of_row: documented.SeiParams | None, of_transcode: documented.SeiParams | None
) -> documented.SeiParams | None:
    """Return SeiParams of either place; where both say something, the row's own, and the other is noted."""
    if not is_set(of_row):
        return of_transcode
    if is_set(of_transcode):
        reader.note_odd("TranscodeParams.SeiParams", msgspec.to_builtins(of_transcode))
    return of_row


def _sei(reader: FieldReader, sei: documented.SeiParams | None) -> Sei | None:
    if sei is None or not is_set(sei):
        return None
    volume = sei.layout_volume or documented.LayoutVolume()
    through = sei.pass_through or documented.PassThrough()
    outer = reader.amount(sei.payload_type, "SeiParams.PayloadType")
    inner = reader.amount(through.payload_type, "SeiParams.PayloadType")
    return Sei(
        payload_type=inner if outer is None else outer,
        layout_volume_follow_idr=reader.amount(volume.follow_idr, "LayoutVolume.FollowIdr"),
        layout_volume_interval_ms=reader.amount(volume.interval, "LayoutVolume.Interval"),
        pass_through_follow_idr=reader.amount(through.follow_idr, "PassThrough.FollowIdr"),
        pass_through_interval_ms=reader.amount(through.interval, "PassThrough.Interval"),
        has_payload=bool(through.payload_content),
    )


MAX_ROW_BYTES: Final = 256 * 1024
MAX_ID_BYTES: Final = 256  # of a TaskId or ChannelId; documented are 55 and 64 characters. A longer one is unreadable.

_Text = TypeVar("_Text", str, User)
_ROW: Final = documented.decoder_of(documented.Row)
_ENCODER: Final = msgspec.msgpack.Encoder()


def hide_texts(reader: FieldReader, row: Row, channel_id: str = "") -> PaneUsers:
    """Replace private texts by True or None; return how panes and listed users go together."""
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

    Raises ApiError if it belongs to another app. Tasks have in common what `share` knows as equal.
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
