"""What `task` is when a rule runs: mappings as `vocabulary.TaskFacts` has them, without absent values, fit for CEL.

Whole numbers have 64 bits there; texts and lists are limited, since what a rule can cost follows from their sizes.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from ipaddress import ip_address
from itertools import combinations
from typing import Any, Final, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import Struct, structs

from exporter.core import task as frame_size
from exporter.core.task import Audio, Configuration, Encoding, Output, Pane, Video
from exporter.rules.vocabulary import OutputFacts, PaneFacts, SeiFacts, SourceFacts, TaskFacts, UserStreamFacts

MOST: Final = 2**63 - 1
LEAST: Final = -(2**63)
LONGEST_TEXT: Final = 256  # in bytes of UTF-8: texts are cut there. No name or host that the service accepts is longer.
LONGEST_LIST: Final = 128  # a rule that names a longer list can't be evaluated
TOLERANCE: Final = 0.001
"""How far panes may reach out of the canvas or into each other: less than a line of a small picture."""

MOST_COMPARED_PANES: Final = 100  # of one task: every pair is compared, and nobody lays out more by intention

BITS_PER_KILOBIT: Final = 1000
REMEMBERED_PARTS: Final = 2048

_NO_ENCODING: Final = Encoding(audio_only=False, video=Video(), audio=Audio())
_REQUIRED_AUDIO: Final = {
    "bitrate_kbps": "AudioBitrate",
    "channels": "AudioChannels",
    "sample_rate_hertz": "AudioSampleRate",
}
_REQUIRED_VIDEO: Final = {
    "bitrate_kbps": "VideoBitrate",
    "framerate": "VideoFramerate",
    "gop": "VideoGop",
    "height": "VideoHeight",
    "width": "VideoWidth",
}  # what StartLiveMPUTask documents as required
_AS_CONFIGURED: Final = (
    "region",
    "mix_mode",
    "idle_timeout_seconds",
    "has_transcode_params",
    "has_stream_url",
    "has_multi_stream_url",
    "has_background",
    "background_render_mode",
)  # facts that a configuration has by the same names
_EDGES: Final = frozenset({"x", "y", "width", "height"})
_DOMAIN: Final = re.compile(r"[^.]\.[^.]")
_RESERVED_NAME: Final = re.compile(
    r"^example\.(com|net|org)\.?$|\.(example|internal|invalid|lan|local|localhost|test|home\.arpa)\.?$"
)
"""Names of RFC 2606, 6761, 6762, 8375 and of private networks; `push.example.com` stands for one's own in examples."""
_TRANSCODING: Final = ("panes", "users", "user_streams", "has_background", "background_render_mode", "sei")


class PushKey(NamedTuple):
    """What is known of the key of one output at one moment."""

    state: str
    expires_at: int | None  # unix seconds
    expired_at_start: bool
    signer: str  # by the settings of the host
    may_have_expired: bool = False


def facts(configuration: Configuration) -> dict[str, Any]:
    """Return what rules see of a configuration. Its parts are shared and must not be changed."""
    encoding = configuration.encoding or _NO_ENCODING
    task = {
        **{name: _fit_leaf(value) for name in _AS_CONFIGURED if (value := getattr(configuration, name)) is not None},
        "audio_only": encoding.audio_only,
        "has_encode_params": configuration.encoding is not None,
        "video": _video(encoding.video),
        "audio": _part(encoding.audio),
        "outputs": list(map(_output, configuration.outputs)),
        "user_streams": [
            _part(UserStreamFacts(source_type=source, stream_type=stream))
            for source, stream in configuration.user_streams
        ],
        "field_errors": list(map(short_text, configuration.field_errors)),
        "unknown_values": list(map(short_text, configuration.unknown_values)),
        "missing_encode_params": _missing_encode_params(configuration.encoding, configuration.field_errors),
        "unlisted_pane_users": fit_number(configuration.pane_users.unlisted),
        "audio_pane_users": fit_number(configuration.pane_users.audio),
        "repeated_pane_users": fit_number(configuration.pane_users.repeated),
        **_layout(configuration.panes),
    }
    if configuration.users:
        task["users"] = fit_number(configuration.users)
    task |= {name: _part(part) for name in ("sei", "source") if (part := getattr(configuration, name)) is not None}
    return task


def with_push_keys(
    task: Mapping[str, Any], keys: Sequence[PushKey], moment: Callable[[int], Any] = lambda at: Timestamp(seconds=at)
) -> dict[str, Any]:
    """Return facts with what is known of the key of each output; `moment` makes a point in time of Unix seconds."""

    def expires(at: int | None) -> dict[str, Any]:
        return {} if at is None else {"push_expires": moment(at)}

    outputs = [
        {
            **output,
            "signer": key.signer,
            "push_auth": key.state,
            "expired_at_start": key.expired_at_start,
            "may_have_expired": key.may_have_expired,
            **expires(key.expires_at),
        }
        for output, key in zip(task["outputs"], keys, strict=False)
    ]
    return {**task, "outputs": outputs, **expires(earliest_expiry(keys))}


def earliest_expiry(keys: Iterable[PushKey]) -> int | None:
    """Return the earliest expiry of keys, in Unix seconds."""
    return min((key.expires_at for key in keys if key.expires_at is not None), default=None)


def facts_of_case(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return what rules see of a task that a test gives in part.

    What is left out is absent, empty or false, `mix_mode` is mixed, and facts that follow from others do, unless given:
    EncodeParams, TranscodeParams and MultiStreamURL are there where a part of them is.
    """
    given = fit(task)
    has_encode_params = given.get("has_encode_params", any(part in given for part in ("video", "audio", "audio_only")))
    has_transcode_params = has_encode_params or any(part in given for part in _TRANSCODING)
    panes = [{**_defaults(PaneFacts), **pane} for pane in given.get("panes", ())]
    case = {
        **_defaults(TaskFacts),
        "has_encode_params": has_encode_params,
        "has_transcode_params": has_transcode_params,
        "has_multi_stream_url": bool(given.get("outputs")) and not given.get("has_stream_url"),
        **_derived_of_panes(panes),
        **given,
        "video": _with_derived(given.get("video", {})),
        "audio": given.get("audio", {}),
        "outputs": [
            {**_defaults(OutputFacts), "has_private_host": _is_private(output.get("host", "")), **output}
            for output in given.get("outputs", ())
        ],
        "panes": panes,
    }
    for name, group in (("sei", SeiFacts), ("source", SourceFacts)):
        if name in given:
            case[name] = {**_defaults(group), **given[name]}
    return case


def _defaults(group: type[Struct]) -> dict[str, Any]:
    return {name: fit(value) for name, value in structs.asdict(group()).items() if value is not None}


def without_long_lists(task: dict[str, Any]) -> dict[str, Any]:
    """Return what rules see of a task without lists that are too long: rules that name one can't be evaluated."""
    long = {name for name, value in task.items() if isinstance(value, list) and len(value) > LONGEST_LIST}
    return {name: value for name, value in task.items() if name not in long} if long else task


def fit(value: Any) -> Any:
    """Return a value as CEL can take it: a copy of mappings and lists, numbers and texts made fit."""
    if isinstance(value, Mapping):
        return {name: fit(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [fit(inner) for inner in value]
    return _fit_leaf(value)


def _fit_leaf(value: Any) -> Any:
    if type(value) is str:
        return short_text(value)
    if isinstance(value, datetime):  # CEL takes those of variables alone
        return Timestamp(seconds=int(value.timestamp()))
    return fit_number(value) if type(value) is int else value


def fit_number(number: int) -> int:
    """Return the nearest number of 64 bits."""
    return number if LEAST <= number <= MOST else max(LEAST, min(number, MOST))


def fit_text(text: str) -> str:
    """Return the text with a question mark for each half of a character, and for NUL, where the library would cut."""
    if text.isascii():
        return text if "\0" not in text else text.replace("\0", "?")
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def short_text(text: str) -> str:
    """Return the text as `fit_text` does, up to the longest length of a value."""
    fit_part = fit_text(text[:LONGEST_TEXT])
    return fit_part if fit_part.isascii() else fit_part.encode()[:LONGEST_TEXT].decode("utf-8", "ignore")


# Fleets repeat their parts: a remembered one costs a tenth of a new one.
@lru_cache(maxsize=REMEMBERED_PARTS)
def _part(part: Struct) -> dict[str, Any]:
    """Return a part of a task, whose attributes are named as in the vocabulary, without what is absent."""
    return {name: _fit_leaf(value) for name, value in structs.asdict(part).items() if value is not None}


@lru_cache(maxsize=REMEMBERED_PARTS)
def _video(video: Video) -> dict[str, Any]:
    return _with_derived(_part(video))


@lru_cache(maxsize=REMEMBERED_PARTS)
def _output(output: Output) -> dict[str, Any]:
    return {**_defaults(OutputFacts), **_part(output), "has_private_host": _is_private(output.host)}


def _is_private(host: str) -> bool:
    """Whether no push from the internet can reach a host, as far as its name or address says."""
    try:
        address = ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return bool(host) and (_DOMAIN.search(host) is None or _RESERVED_NAME.search(host) is not None)
    return not address.is_global or address.is_multicast


@lru_cache(maxsize=REMEMBERED_PARTS)
def _layout(panes: tuple[Pane, ...]) -> dict[str, Any]:
    parts = [_part(pane) for pane in panes]
    return {"panes": parts, **_derived_of_panes(parts)}


def _with_derived(video: Mapping[str, Any]) -> dict[str, Any]:
    """Return the video part with what follows from it; a number below 0 measures nothing."""
    width, height = video.get("width"), video.get("height")
    framerate, gop, bitrate_kbps = video.get("framerate"), video.get("gop"), video.get("bitrate_kbps")
    derived: dict[str, Any] = {}
    pixels = frame_size.pixels(width, height)
    if width is not None and height is not None:
        derived["resolution"] = frame_size.resolution(width, height)
    if pixels is not None:
        derived["pixels"] = fit_number(pixels)
        if height:
            derived["aspect"] = width / height
    if framerate is not None and framerate > 0:
        if gop is not None and gop >= 0:
            derived["gop_seconds"] = gop / framerate
        if pixels and bitrate_kbps is not None and bitrate_kbps > 0:
            derived["bits_per_pixel"] = bitrate_kbps * BITS_PER_KILOBIT / (pixels * framerate)
    return {**derived, **video}


def _missing_encode_params(encoding: Encoding | None, field_errors: Sequence[str]) -> list[str]:
    if encoding is None:
        return []
    required = [(encoding.audio, _REQUIRED_AUDIO), (encoding.video, {} if encoding.audio_only else _REQUIRED_VIDEO)]
    return [
        field
        for part, fields in required
        for name, field in fields.items()
        if getattr(part, name) is None and f"EncodeParams.{field}" not in field_errors
    ]


class _Box(NamedTuple):
    layer: int
    left: float
    top: float
    right: float
    bottom: float


def _derived_of_panes(panes: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    boxes = [
        _Box(pane.get("z_order", 0), pane["x"], pane["y"], pane["x"] + pane["width"], pane["y"] + pane["height"])
        for pane in panes
        if pane.keys() >= _EDGES
    ]
    return {
        "pane_count": len(panes),
        "panes_outside": sum(map(_is_outside, panes)),
        "overlapping_panes": sum(_overlap(one, other) for one, other in combinations(boxes[:MOST_COMPARED_PANES], 2)),
    }


def _is_outside(pane: Mapping[str, Any]) -> bool:
    left, top = pane.get("x", 0.0), pane.get("y", 0.0)
    right = left + pane.get("width", 0.0) if "x" in pane else 0.0
    bottom = top + pane.get("height", 0.0) if "y" in pane else 0.0
    return bool(min(left, top) < -TOLERANCE or max(left, top, right, bottom) > 1 + TOLERANCE)


def _overlap(one: _Box, other: _Box) -> bool:
    return (
        one.layer == other.layer
        and min(one.right, other.right) - max(one.left, other.left) > TOLERANCE
        and min(one.bottom, other.bottom) - max(one.top, other.top) > TOLERANCE
    )
