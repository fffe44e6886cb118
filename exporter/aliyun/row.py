"""One row of the list, read into a `Task`.

Nothing in a row can cost more than itself: an odd value is counted under its field; an unknown key, and whatever
can't be read, is kept as a part of the digest `other`, so that a change of it is seen even so.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
import xxhash

from exporter import task as tasks
from exporter.aliyun import lenient_json, values
from exporter.aliyun.errors import ApiError
from exporter.aliyun.fields import FieldReader, Object
from exporter.aliyun.interning import Interner
from exporter.aliyun.push_url import parse_push_url
from exporter.state import State
from exporter.task import MIXED, SINGLE, Audio, Configuration, Encoding, Output, Pane, Sei, Source, Task, Video


def _names(*canonical: str, **spellings: str) -> Mapping[str, str]:
    """Return the canonical name for its own spelling, and for each in lower case."""
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

_ROW: Final = frozenset(
    {
        "AppId",
        "ChannelId",
        "TaskId",
        "MixMode",
        "StreamURL",
        "Region",
        "MaxIdleTime",
        "MultiStreamURL",
        "SingleSubParams",
        "TranscodeParams",
    }
)
_STREAM: Final = frozenset({"URL", "IsAliCdn"})
_SINGLE: Final = frozenset({"SourceType", "StreamType", "UserId"})
_TRANSCODE: Final = frozenset({"Background", "EncodeParams", "Layout", "UserInfos", "SeiParams"})
_BACKGROUND: Final = frozenset({"RenderMode", "URL"})
_ENCODE: Final = frozenset(
    {
        "AudioOnly",
        "AudioBitrate",
        "AudioChannels",
        "AudioSampleRate",
        "VideoCodec",
        "VideoBitrate",
        "VideoFramerate",
        "VideoGop",
        "VideoHeight",
        "VideoWidth",
        "EnhancedParam",
    }
)
_ENHANCED: Final = frozenset({"profile", "preset"})
_LAYOUT: Final = frozenset({"UserPanes"})
_PANE: Final = frozenset({"UserInfo", "Height", "Width", "X", "Y", "ZOrder", "BackgroundImageUrl", "RenderMode"})
_PANE_USER: Final = frozenset({"SourceType", "ChannelId", "UserId"})
_USER: Final = frozenset({"ChannelId", "UserId", "SourceType", "StreamType"})
_SEI: Final = frozenset({"LayoutVolume", "PassThrough", "PayloadType"})
_LAYOUT_VOLUME: Final = frozenset({"FollowIdr", "Interval"})
_PASS_THROUGH: Final = frozenset({"FollowIdr", "Interval", "PayloadContent", "PayloadContentKey", "PayloadType"})


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
    content = _decode(raw)
    if _identity(content, "AppId") not in {"", app_id}:
        raise ForeignRow
    task_id = _identity(content, "TaskId")
    if not task_id:
        return None
    share = share or Interner()
    reader = FieldReader()
    reader.note_unknown_keys(content, _ROW, "")
    channel_id = reader.text(content, "ChannelId", "ChannelId")
    pushes = _pushes(reader, content, share)
    configuration = share(_configuration(reader, content, pushes, share))
    digests = reader.digests() + pushes.digests
    return Task(task_id, channel_id, configuration, xxhash.xxh3_64_intdigest(raw), digests)


def _decode(raw: bytes) -> Object:
    """Return a row's object; an empty one where there is none to be had."""
    try:
        content = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        try:
            content = lenient_json.decode(raw)
        except (ValueError, RecursionError):
            return {}
    return content if isinstance(content, dict) else {}


def _identity(content: Object, key: str) -> str:
    """Return an identity; empty where there is none that can be read."""
    try:
        return values.text(content.get(key))
    except values.Unreadable:
        return ""


def _configuration(reader: FieldReader, row: Object, pushes: "_Pushes", share: Interner) -> Configuration:
    """Read what is configured, apart from whose it is."""
    single = reader.object(row, "SingleSubParams", "SingleSubParams", _SINGLE)
    transcode = reader.object(row, "TranscodeParams", "TranscodeParams", _TRANSCODE)
    mix_mode = reader.name(row, "MixMode", "MixMode", _MIX_MODES)
    if mix_mode is None:
        mix_mode = SINGLE if single and not transcode else MIXED
    region = reader.name(row, "Region", "Region", _REGIONS)
    idle_timeout_seconds = reader.integer(row, "MaxIdleTime", "MaxIdleTime")
    source = _source(reader, single)
    background = reader.object(transcode, "Background", "Background", _BACKGROUND)
    has_background = reader.hidden_text(background, "URL", "Background.URL", group="background", where="Background")
    background_render_mode = reader.integer(background, "RenderMode", "Background.RenderMode")
    encoding = _encoding(reader, transcode, share)
    panes = _panes(reader, transcode, share)
    user_streams = _user_streams(reader, transcode)
    sei = _sei(reader, transcode)
    return Configuration(
        region=share(region),
        mix_mode=share(mix_mode),
        idle_timeout_seconds=idle_timeout_seconds,
        outputs=pushes.outputs,
        has_stream_url=pushes.has_stream_url,
        has_multi_stream_url=pushes.has_multi_stream_url,
        has_transcode_params=bool(transcode),
        source=share(source),
        encoding=share(encoding),
        panes=share(panes),
        background_render_mode=background_render_mode,
        has_background=has_background,
        users=len(user_streams),
        user_streams=share(user_streams),
        sei=share(sei),
        field_errors=tuple(sorted(reader.errors)),
        unknown_values=tuple(sorted(reader.unknown)),
    )


class _Pushes(NamedTuple):
    """Where a task pushes to."""

    outputs: tuple[Output, ...]
    digests: bytes
    """Eight bytes for each of `outputs`."""
    has_stream_url: bool
    has_multi_stream_url: bool


def _pushes(reader: FieldReader, row: Object, share: Interner) -> _Pushes:
    """Read both URL fields; outputs are sorted, so that the list's order makes no difference."""
    stream_url = reader.text(row, "StreamURL", "StreamURL")
    is_ali_cdn: dict[str, bool | None] = {}
    for _, entry in reader.objects(row, "MultiStreamURL", "MultiStreamURL", _STREAM):
        url = reader.text(entry, "URL", "MultiStreamURL.URL")
        is_ali = reader.truth(entry, "IsAliCdn", "MultiStreamURL.IsAliCdn")
        if url:
            is_ali_cdn[url] = is_ali if is_ali_cdn.get(url) is None else is_ali_cdn[url]
            _note_scheme(reader, url, "MultiStreamURL.URL")
    has_multi_stream_url = bool(is_ali_cdn)
    if stream_url:
        is_ali_cdn.setdefault(stream_url, None)
        _note_scheme(reader, stream_url, "StreamURL")
    found = sorted((_output(url, is_ali, share) for url, is_ali in is_ali_cdn.items()), key=_order)
    outputs = tuple(output for output, _ in found)
    digests = b"".join(digest for _, digest in found)
    return _Pushes(share(outputs), digests, bool(stream_url), has_multi_stream_url)


def _output(url: str, is_ali_cdn: bool | None, share: Interner) -> tuple[Output, bytes]:
    """Return what is kept of a URL."""
    parsed = parse_push_url(url)
    output = Output(share(parsed.scheme), share(parsed.host), is_ali_cdn, parsed.has_userinfo)
    return share(output), xxhash.xxh3_64_digest(url.encode())


def _order(found: tuple[Output, bytes]) -> tuple[str, str, bool, str, bytes]:
    """Sort outputs by what is kept of them first, so that tasks with different keys have equal configurations."""
    output, digest = found
    return output.scheme, output.host, output.has_userinfo, str(output.is_ali_cdn), digest


def _note_scheme(reader: FieldReader, url: str, field: str) -> None:
    """Count a URL whose scheme is none that push URLs are known to have."""
    if not parse_push_url(url).has_known_scheme:
        reader.unknown.append(field)


def _source(reader: FieldReader, single: Object) -> Source | None:
    """Read SingleSubParams."""
    if not single:
        return None
    reader.hidden_text(single, "UserId", "SingleSubParams.UserId", group="users", where="SingleSubParams")
    return Source(
        stream_type=reader.name(single, "StreamType", "SingleSubParams.StreamType", _STREAM_TYPES) or "original",
        source_type=reader.name(single, "SourceType", "SingleSubParams.SourceType", _SOURCE_TYPES) or "camera",
    )


def _encoding(reader: FieldReader, transcode: Object, share: Interner) -> Encoding | None:
    """Read EncodeParams."""
    encode = reader.object(transcode, "EncodeParams", "EncodeParams", _ENCODE)
    if not encode:
        return None
    enhanced = _enhanced(reader, encode)
    video = Video(
        codec=reader.name(encode, "VideoCodec", "EncodeParams.VideoCodec", _CODECS),
        profile=reader.name(enhanced, "profile", "EnhancedParam.profile", _PROFILES),
        preset=reader.name(enhanced, "preset", "EnhancedParam.preset", _PRESETS),
        bitrate_kbps=reader.integer(encode, "VideoBitrate", "EncodeParams.VideoBitrate"),
        framerate=reader.integer(encode, "VideoFramerate", "EncodeParams.VideoFramerate"),
        gop=reader.integer(encode, "VideoGop", "EncodeParams.VideoGop"),
        width=reader.integer(encode, "VideoWidth", "EncodeParams.VideoWidth"),
        height=reader.integer(encode, "VideoHeight", "EncodeParams.VideoHeight"),
    )
    audio = Audio(
        bitrate_kbps=reader.integer(encode, "AudioBitrate", "EncodeParams.AudioBitrate"),
        channels=reader.one_of(encode, "AudioChannels", "EncodeParams.AudioChannels", _CHANNELS),
        sample_rate_hertz=reader.one_of(encode, "AudioSampleRate", "EncodeParams.AudioSampleRate", _SAMPLE_RATES),
    )
    audio_only = reader.truth(encode, "AudioOnly", "EncodeParams.AudioOnly") or False
    return Encoding(audio_only, share(video), share(audio))


def _enhanced(reader: FieldReader, encode: Object) -> Object:
    """Read EnhancedParam: an object that is written as JSON text."""
    field = "EncodeParams.EnhancedParam"
    value = encode.get("EnhancedParam")
    if isinstance(value, str) and value.strip():
        try:
            value = lenient_json.decode(value.encode())
        except (ValueError, RecursionError):
            reader.unreadable(field, value)
            return {}
        return reader.object({"EnhancedParam": value}, "EnhancedParam", field, _ENHANCED)
    return reader.object(encode, "EnhancedParam", field, _ENHANCED) if value != "" else {}


def _panes(reader: FieldReader, transcode: Object, share: Interner) -> tuple[Pane, ...]:
    """Read the panes of the layout."""
    layout = reader.object(transcode, "Layout", "Layout", _LAYOUT)
    return tuple(
        share(_pane(reader, pane, where)) for where, pane in reader.objects(layout, "UserPanes", "UserPanes", _PANE)
    )


def _pane(reader: FieldReader, pane: Object, where: str) -> Pane:
    """Read one pane."""
    user = reader.object(pane, "UserInfo", "UserPanes.UserInfo", _PANE_USER, where=f"{where}.UserInfo")
    reader.hidden_text(user, "ChannelId", "UserInfo.ChannelId", group="users", where=where)
    reader.hidden_text(user, "UserId", "UserInfo.UserId", group="users", where=where)
    return Pane(
        x=reader.decimal(pane, "X", "UserPanes.X"),
        y=reader.decimal(pane, "Y", "UserPanes.Y"),
        width=reader.decimal(pane, "Width", "UserPanes.Width"),
        height=reader.decimal(pane, "Height", "UserPanes.Height"),
        z_order=reader.integer(pane, "ZOrder", "UserPanes.ZOrder"),
        render_mode=reader.integer(pane, "RenderMode", "UserPanes.RenderMode"),
        source_type=reader.name(user, "SourceType", "UserInfo.SourceType", _SOURCE_TYPES),
        has_background_image=reader.hidden_text(
            pane, "BackgroundImageUrl", "UserPanes.BackgroundImageUrl", group="background", where=where
        ),
    )


def _user_streams(reader: FieldReader, transcode: Object) -> tuple[tuple[str | None, str | None], ...]:
    """Read UserInfos: whose streams are mixed."""
    streams = []
    for where, user in reader.objects(transcode, "UserInfos", "UserInfos", _USER):
        reader.hidden_text(user, "ChannelId", "UserInfos.ChannelId", group="users", where=where)
        reader.hidden_text(user, "UserId", "UserInfos.UserId", group="users", where=where)
        source_type = reader.name(user, "SourceType", "UserInfos.SourceType", _SOURCE_TYPES)
        stream_type = reader.name(user, "StreamType", "UserInfos.StreamType", _STREAM_TYPES)
        streams.append((source_type, stream_type))
    return tuple(streams)


def _sei(reader: FieldReader, transcode: Object) -> Sei | None:
    """Read SeiParams; the documents show PayloadType both in it and in PassThrough."""
    sei = reader.object(transcode, "SeiParams", "SeiParams", _SEI)
    if not sei:
        return None
    volume = reader.object(sei, "LayoutVolume", "LayoutVolume", _LAYOUT_VOLUME)
    through = reader.object(sei, "PassThrough", "PassThrough", _PASS_THROUGH)
    outer = reader.integer(sei, "PayloadType", "SeiParams.PayloadType")
    inner = reader.integer(through, "PayloadType", "SeiParams.PayloadType")
    reader.hidden_text(through, "PayloadContentKey", "PassThrough.PayloadContentKey", group="sei", where="PassThrough")
    return Sei(
        payload_type=inner if outer is None else outer,
        layout_volume_follow_idr=reader.integer(volume, "FollowIdr", "LayoutVolume.FollowIdr"),
        layout_volume_interval_ms=reader.integer(volume, "Interval", "LayoutVolume.Interval"),
        pass_through_follow_idr=reader.integer(through, "FollowIdr", "PassThrough.FollowIdr"),
        pass_through_interval_ms=reader.integer(through, "Interval", "PassThrough.Interval"),
        has_payload=reader.hidden_text(
            through, "PayloadContent", "PassThrough.PayloadContent", group="sei", where="PassThrough"
        ),
    )
