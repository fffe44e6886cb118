"""What a task's row says, read straight from its JSON: what rules are about, and nothing that an exporter shares.

A measured number is whole and not below 0, or it is not readable. An object that says nothing is absent.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

_ENCODE_NUMBERS: Final = (
    "AudioBitrate",
    "AudioChannels",
    "AudioSampleRate",
    "VideoBitrate",
    "VideoFramerate",
    "VideoGop",
    "VideoHeight",
    "VideoWidth",
)
_CLOSED_NUMBERS: Final = ("AudioChannels", "AudioSampleRate")
_SEI_PARTS: Final = ("LayoutVolume", "PassThrough")
_DIGITS: Final = "+-.0123456789"
MOST_ROWS: Final = 10_000  # more than the demonstration has


User = tuple[str, str]  # channel and user id


class WrittenPane(Struct, frozen=True):
    """One of UserPanes; None is absent or not readable."""

    left: Decimal | None
    top: Decimal | None
    width: Decimal | None
    height: Decimal | None
    layer: int
    render_mode: int | None
    source: tuple[User, str] | None  # user and source type, where it names a user


class WrittenTask(Struct, frozen=True):
    """One row."""

    task_id: str
    region: str | None  # `other` where it is not documented; None: absent
    mode: str  # single, mixed or other
    idle_timeout_seconds: int | None
    urls: Mapping[str, bool | None]  # IsAliCdn of each URL, the first that is stated
    stream_url: bool
    multi_stream_url: bool
    source: tuple[str, str] | None  # stream type and source type of SingleSubParams
    transcoding: bool  # whether there are TranscodeParams
    encoding: bool  # whether there are EncodeParams
    audio_only: bool
    numbers: Mapping[str, int]  # those of EncodeParams that are there and readable, by the vendor's name
    names: Mapping[str, str]
    """VideoCodec, profile and preset, as far as they are there; `other` where one is not documented."""
    panes: tuple[WrittenPane, ...]
    background_render_mode: int | None
    user_streams: tuple[tuple[str, str, User], ...]  # stream type, source type and user of each of UserInfos
    sei: Mapping[str, int]
    """PayloadType, and `LayoutVolume.Interval` and the like, as far as they are there and readable."""
    unreadable: tuple[str, ...]  # the field of each value that can't be read
    undocumented: tuple[str, ...]  # the field of each value that is not one of the documented ones


@lru_cache(maxsize=MOST_ROWS)
def read_task(row: bytes) -> WrittenTask | None:
    """Return what a row says; None where it has no TaskId. Tests read the same fleet again and again."""
    content = json.loads(row)
    return None if _absent(content.get("TaskId")) else _Reading(content).task()


def scheme_of(url: str) -> str:
    """Return rtmp, rtmps, srt or other."""
    return scheme(url)[0]


def has_user(url: str) -> bool:
    """Whether a URL names a user before its host."""
    return "@" in _authority(url)


def host_of(url: str) -> str:
    """Return `vhost` or the host without port and user; empty where there is none."""
    for part in url.partition("?")[2].split("&"):
        if "//" in url.partition("?")[0] and re.fullmatch("vhost=[A-Za-z0-9.-]{1,253}", part):
            return part.removeprefix("vhost=").lower()
    host = _authority(url).rpartition("@")[2].lower()
    return host.partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def is_incomplete(url: str) -> bool:
    """Whether no push to the URL can start, on any platform."""
    path, _, query = url.partition("//")[2].partition("?")
    parts = [part for part in path.split("/")[1:] if part]
    keys = {part.partition("=")[0] for part in query.split("&") if part}
    return (
        not host_of(url)
        or len(url) > 2048
        or any(character.isspace() for character in url)
        or any(mark in url for mark in ("****", "<key>", "{}"))
        or (len(parts) < 2 and keys <= {"auth_key", "txSecret", "txTime"})
    )


def _authority(url: str) -> str:
    return url.partition("//")[2].partition("/")[0].partition("?")[0]


class _Reading:
    """One row while it is read."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row = row
        self._unreadable: Counter[str] = Counter()
        self._undocumented: Counter[str] = Counter()

    def task(self) -> WrittenTask:
        row = self._row
        single = self._object(row, "SingleSubParams")
        transcoding = self._object(row, "TranscodeParams")
        encode = self._object(transcoding, "EncodeParams")
        background = self._object(transcoding, "Background")
        layout = self._object(transcoding, "Layout")
        multi_stream_urls = self._multi_stream_urls()
        stream_url = "" if _absent(row.get("StreamURL")) else str(row["StreamURL"])
        self._documented("StreamURL", not stream_url or scheme(stream_url)[1])
        mode, mode_known = mix_mode(row.get("MixMode"), has_source=bool(single), has_transcoding=bool(transcoding))
        region, region_known = _labelled(_REGIONS, row.get("Region"))
        self._documented("MixMode", mode_known)
        self._documented("Region", region_known)
        return WrittenTask(
            task_id=str(row["TaskId"]),
            region=None if _absent(row.get("Region")) else region,
            mode=mode,
            idle_timeout_seconds=self._amount(row, "MaxIdleTime"),
            urls={**({stream_url: None} if stream_url else {}), **multi_stream_urls},
            stream_url=bool(stream_url),
            multi_stream_url=bool(multi_stream_urls),
            source=self._source(single) if single else None,
            transcoding=bool(transcoding),
            encoding=bool(encode),
            audio_only=self._audio_only(encode),
            numbers=self._encode_numbers(encode),
            names=self._names(encode),
            panes=tuple(self._pane(pane) for pane in self._list(layout, "UserPanes")),
            background_render_mode=self._amount(background, "RenderMode", "Background.RenderMode"),
            user_streams=tuple(self._user_stream(user) for user in self._list(transcoding, "UserInfos")),
            sei=self._sei(self._object(row, "SeiParams") or self._object(transcoding, "SeiParams")),
            unreadable=tuple(self._unreadable.elements()),
            undocumented=tuple(self._undocumented.elements()),
        )

    def _multi_stream_urls(self) -> dict[str, bool | None]:
        urls: dict[str, bool | None] = {}
        for stream in self._list(self._row, "MultiStreamURL"):
            is_ali_cdn, is_known = truth(stream.get("IsAliCdn"))
            self._documented("MultiStreamURL.IsAliCdn", is_known)
            if not _absent(stream.get("URL")):
                url = str(stream["URL"])
                self._documented("MultiStreamURL.URL", scheme(url)[1])
                urls[url] = is_ali_cdn if urls.get(url) is None else urls[url]
        return urls

    def _source(self, single: Mapping[str, Any]) -> tuple[str, str]:
        stream, stream_known = _labelled(_STREAM_TYPES, single.get("StreamType"))
        kind, kind_known = _labelled(_SOURCE_TYPES, single.get("SourceType"))
        self._documented("SingleSubParams.StreamType", stream_known)
        self._documented("SingleSubParams.SourceType", kind_known)
        return stream, kind

    def _audio_only(self, encode: Mapping[str, Any]) -> bool:
        spelled = str(encode.get("AudioOnly") or "false").lower()
        self._documented("EncodeParams.AudioOnly", spelled in {"true", "false"})
        return spelled == "true"

    def _encode_numbers(self, encode: Mapping[str, Any]) -> dict[str, int]:
        numbers = {}
        for name in _ENCODE_NUMBERS:
            is_closed = name in _CLOSED_NUMBERS
            number = (self._whole if is_closed else self._amount)(encode, name, f"EncodeParams.{name}")
            if number is not None:
                numbers[name] = number
                self._documented(f"EncodeParams.{name}", not is_closed or known_number(name, number)[1])
        return numbers

    def _names(self, encode: Mapping[str, Any]) -> dict[str, str]:
        enhanced = self._enhanced(encode.get("EnhancedParam"))
        written = (
            ("VideoCodec", encode, "EncodeParams.VideoCodec"),
            ("profile", enhanced, "EnhancedParam.profile"),
            ("preset", enhanced, "EnhancedParam.preset"),
        )
        names = {}
        for name, within, field in written:
            if not _absent(within.get(name)):
                labels = {"": "none"} | {each.lower(): each for each in _NAMES[name]}
                names[name], is_known = _labelled(labels, within[name])
                self._documented(field, is_known)
        return names

    def _enhanced(self, value: Any) -> Mapping[str, Any]:
        if _absent(value):
            return {}
        try:
            enhanced = json.loads(value) if isinstance(value, str) else value
        except ValueError:
            enhanced = None
        if isinstance(enhanced, dict):
            return enhanced
        self._unreadable["EncodeParams.EnhancedParam"] += 1
        return {}

    def _pane(self, pane: Mapping[str, Any]) -> WrittenPane:
        left, top, width, height, layer = (
            self._number(pane, name, f"UserPanes.{name}") for name in ("X", "Y", "Width", "Height", "ZOrder")
        )
        if layer is not None and layer % 1:
            self._unreadable["UserPanes.ZOrder"] += 1
            layer = None
        info = self._object(pane, "UserInfo", "UserPanes.UserInfo")
        kind = _labelled(_SOURCE_TYPES, info.get("SourceType"))
        self._documented("UserInfo.SourceType", kind[1])
        render_mode = self._amount(pane, "RenderMode", "UserPanes.RenderMode")
        source = (self._user(info), kind[0]) if _text(info.get("UserId")) else None
        return WrittenPane(left, top, width, height, int(layer or 0), render_mode, source)

    def _user(self, user: Mapping[str, Any]) -> User:
        """Return who it is; a user without a channel is of the task's."""
        return _text(user.get("ChannelId")) or _text(self._row.get("ChannelId")), _text(user.get("UserId"))

    def _user_stream(self, user: Mapping[str, Any]) -> tuple[str, str, User]:
        stream, stream_known = _labelled(_STREAM_TYPES, user.get("StreamType"))
        kind, kind_known = _labelled(_SOURCE_TYPES, user.get("SourceType"))
        self._documented("UserInfos.StreamType", stream_known)
        self._documented("UserInfos.SourceType", kind_known)
        return stream, kind, self._user(user)

    def _sei(self, sei: Mapping[str, Any]) -> dict[str, int]:
        """Return the numbers of SeiParams; PayloadType may be in PassThrough too, where it counts less."""
        parts = {name: self._object(sei, name) for name in _SEI_PARTS}
        outer = self._amount(sei, "PayloadType", "SeiParams.PayloadType")
        inner = self._amount(parts["PassThrough"], "PayloadType", "SeiParams.PayloadType")
        numbers = {"PayloadType": inner if outer is None else outer}
        for name, part in parts.items():
            for number in ("FollowIdr", "Interval"):
                numbers[f"{name}.{number}"] = self._amount(part, number, f"{name}.{number}")
        return {name: number for name, number in numbers.items() if number is not None}

    def _amount(self, within: Mapping[str, Any], name: str, field: str = "") -> int | None:
        """Return a whole number that is not below 0."""
        number = self._whole(within, name, field or name)
        if number is not None and number < 0:
            self._unreadable[field or name] += 1
            return None
        return number

    def _whole(self, within: Mapping[str, Any], name: str, field: str) -> int | None:
        """Return a whole number; one from a closed set may be below 0, and is then an undocumented one."""
        number = self._number(within, name, field)
        if number is not None and number % 1:
            self._unreadable[field] += 1
            return None
        return None if number is None else int(number)

    def _number(self, within: Mapping[str, Any], name: str, field: str) -> Decimal | None:
        """Return a number that is written in digits."""
        value = within.get(name)
        spelled = "" if value is None else str(value).strip()
        if not spelled:
            return None
        if spelled.strip(_DIGITS):
            self._unreadable[field] += 1
            return None
        return Decimal(spelled)

    def _object(self, within: Mapping[str, Any], name: str, field: str = "") -> Mapping[str, Any]:
        """Return an object, an empty one where it is absent or says nothing."""
        value = within.get(name)
        if _absent(value):
            return {}
        if isinstance(value, dict):
            return value if _says_something(value) else {}
        self._unreadable[field or name] += 1
        return {}

    def _list(self, within: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
        value = within.get(name)
        if _absent(value):
            return []
        if isinstance(value, list):
            self._unreadable[name] += sum(not isinstance(element, dict) for element in value)
            return [element for element in value if isinstance(element, dict)]
        self._unreadable[name] += 1
        return []

    def _documented(self, field: str, is_known: bool) -> None:
        self._undocumented[field] += not is_known


def _absent(value: Any) -> bool:
    """Whether a value says nothing."""
    return value is None or value in ("", [], {})


def _text(value: Any) -> str:
    """Return an id, empty where there is none."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _says_something(value: Any) -> bool:
    """Whether anything is in an object."""
    return any(map(_says_something, value.values())) if isinstance(value, dict) else not _absent(value)


_REGIONS = {"": "other", "cn-shanghai": "CN-Shanghai", "ap-singapore": "AP-Singapore", "emaa-saudi": "EMAA-Saudi"}
_SCHEMES: Final = {"rtmp": "rtmp", "rtmps": "rtmps", "srt": "srt"}
_STREAM_TYPES: Final = {"": "original", "0": "original", "1": "audio", "2": "video"}
_SOURCE_TYPES: Final = {"": "camera", "camera": "camera", "sharescreen": "screen"}
_PRESETS: Final = "ultrafast superfast veryfast faster fast medium slow slower veryslow placebo"
_NAMES: Final = {
    "VideoCodec": ("H.264", "H.265"),
    "profile": ("baseline", "main", "high"),
    "preset": tuple(_PRESETS.split()),
}
_NUMBERS: Final = {"AudioChannels": (1, 2), "AudioSampleRate": (8000, 16000, 32000, 44100, 48000)}


def _labelled(labels: Mapping[str, str], value: Any) -> tuple[str, bool]:
    """Return the label of a value from a closed set, in whatever case, and whether it is in it; absent is empty."""
    label = labels.get(str(value or "").lower())
    return label or "other", label is not None


def mix_mode(value: Any, *, has_source: bool, has_transcoding: bool) -> tuple[str, bool]:
    """Return `mix_mode`."""
    absent = "single" if has_source and not has_transcoding else "mixed"
    return _labelled({"": absent, "0": "single", "1": "mixed"}, "" if value is None else str(value))


def scheme(url: str) -> tuple[str, bool]:
    """Return `scheme`."""
    return _labelled(_SCHEMES, url.partition("://")[0] or "none")


def truth(value: Any) -> tuple[bool | None, bool]:
    """Return a boolean, which may be written as text."""
    if value in (None, ""):
        return None, True
    answer = {"true": True, "false": False}.get(str(value).lower())
    return answer, answer is not None


def known_number(name: str, number: int) -> tuple[str, bool]:
    """Return the label of a number from a closed set."""
    return (str(number), True) if number in _NUMBERS[name] else ("other", False)
