"""The variables and fields of rules, with type and meaning; one that can be None is absent then: use `has()`."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from math import inf
from types import GenericAlias, NoneType
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from msgspec import Meta, Struct, defstruct

from exporter.config.policy_model import Expect, Range
from exporter.config.section import ValueType, kind_of, kinds_of
from exporter.core.push_auth import NO_SIGNER, SIGNERS, STATES, UNSIGNED
from exporter.core.task import URL_PROBLEMS


def _about(description: str) -> Meta:
    return Meta(description=description)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


class VideoFacts(Struct, frozen=True, kw_only=True):
    """`task.video`: always present. Derived fields are absent where they can't be computed."""

    codec: Annotated[str | None, _about("VideoCodec.")] = None
    profile: Annotated[str | None, _about("The profile of EnhancedParam: `baseline`, `main`, `high` or other.")] = None
    preset: Annotated[str | None, _about("The preset of EnhancedParam: `ultrafast` to `placebo`, or other.")] = None
    bitrate_kbps: Annotated[int | None, _about("VideoBitrate, kbit/s.")] = None
    framerate: Annotated[int | None, _about("VideoFramerate, frames per second.")] = None
    gop: Annotated[int | None, _about("VideoGop, frames in a group of pictures.")] = None
    width: Annotated[int | None, _about("VideoWidth, pixels.")] = None
    height: Annotated[int | None, _about("VideoHeight, pixels.")] = None
    pixels: Annotated[int | None, _about("Derived: width x height.")] = None
    resolution: Annotated[
        str | None,
        _about(
            "Derived: `1080p`, `720p`, `480p`, `360p` by the exact length of the short side, `portrait_1080p` and so on"
            " if height > width, else `other`."
        ),
    ] = None
    aspect: Annotated[float | None, _about("Derived: width / height.")] = None
    gop_seconds: Annotated[float | None, _about("Derived: gop / framerate, seconds.")] = None
    bits_per_pixel: Annotated[float | None, _about("Derived: bits per pixel of a frame.")] = None


class AudioFacts(Struct, frozen=True, kw_only=True):
    """`task.audio`: always present, may be empty."""

    bitrate_kbps: Annotated[int | None, _about("AudioBitrate, kbit/s.")] = None
    channels: Annotated[int | None, _about("AudioChannels.")] = None
    sample_rate_hertz: Annotated[int | None, _about("AudioSampleRate, hertz.")] = None


class OutputFacts(Struct, frozen=True, kw_only=True):
    """One of `task.outputs`: a distinct push URL of the task, without its secret parts."""

    scheme: Annotated[str, _about("In lower case; empty if there is none.")] = ""
    host: Annotated[
        str, _about("In lower case, without user and port; `vhost` counts first; empty if there is none.")
    ] = ""
    is_ali_cdn: Annotated[bool | None, _about("IsAliCdn.")] = None
    has_userinfo: Annotated[bool, _about("The URL contains `user:password@`.")] = False
    has_private_host: Annotated[
        bool,
        _about(
            "Derived: the host is a non-global address, a name without a domain, or a reserved name such as"
            " `localhost` and `example.com`."
        ),
    ] = False
    signer: Annotated[
        str, _about(f"Who signed the URL, by `policy.push_auth` where vendors share a form: {_listed(SIGNERS)}.")
    ] = NO_SIGNER
    problem: Annotated[str | None, _about(f"What makes the URL incomplete, the first of {_listed(URL_PROBLEMS)}.")] = (
        None
    )
    is_test: Annotated[bool, _about("The URL has `bandwidthtest=true`.")] = False
    push_auth: Annotated[
        str,
        _about(
            f"Whether a push may still start: {_listed(STATES)}; `expiring` within `policy.push_expiry_warning`,"
            " `unreadable` if no expiry is known."
        ),
    ] = UNSIGNED
    push_expires: Annotated[
        datetime | None, _about("When the key expires, with the validity of `policy.push_auth`.")
    ] = None
    expired_at_start: Annotated[bool, _about("The task was added after the key had expired.")] = False
    may_have_expired: Annotated[
        bool, _about("The expiry is unknown, and the time in the key is over 24 hours ago.")
    ] = False


class PaneFacts(Struct, frozen=True, kw_only=True):
    """One of `task.panes`; the canvas goes from 0.0 to 1.0 in both directions."""

    x: Annotated[float | None, _about("The left edge.")] = None
    y: Annotated[float | None, _about("The upper edge.")] = None
    width: Annotated[float | None, _about("The width.")] = None
    height: Annotated[float | None, _about("The height.")] = None
    z_order: Annotated[int | None, _about("The layer.")] = None
    render_mode: Annotated[int | None, _about("RenderMode.")] = None
    source_type: Annotated[str | None, _about("SourceType: `camera`, `screen` or other.")] = None
    has_background_image: Annotated[bool, _about("A background image is set.")] = False


class UserStreamFacts(Struct, frozen=True, kw_only=True):
    """One of `task.user_streams`: the stream of one listed user that is mixed."""

    source_type: Annotated[str | None, _about("SourceType: `camera`, `screen` or other.")] = None
    stream_type: Annotated[str | None, _about("StreamType: `original`, `audio`, `video` or other.")] = None


class SeiFacts(Struct, frozen=True, kw_only=True):
    """`task.sei`: SeiParams; absent if not set."""

    payload_type: Annotated[int | None, _about("PayloadType.")] = None
    layout_volume_interval_ms: Annotated[int | None, _about("LayoutVolume's Interval, milliseconds.")] = None
    layout_volume_follow_idr: Annotated[int | None, _about("LayoutVolume's FollowIdr.")] = None
    pass_through_interval_ms: Annotated[int | None, _about("PassThrough's Interval, milliseconds.")] = None
    pass_through_follow_idr: Annotated[int | None, _about("PassThrough's FollowIdr.")] = None
    has_payload: Annotated[bool, _about("PassThrough has content or a key.")] = False


class SourceFacts(Struct, frozen=True, kw_only=True):
    """`task.source`: SingleSubParams; absent if not set."""

    stream_type: Annotated[str, _about("StreamType: `original` (also when absent), `audio`, `video` or other.")] = (
        "original"
    )
    source_type: Annotated[str, _about("SourceType: `camera` (also when absent), `screen` or other.")] = "camera"


class TaskFacts(Struct, frozen=True, kw_only=True):
    """`task`: the configuration of a task, without its ids."""

    region: Annotated[
        str | None, _about("Region: `CN-Shanghai`, `AP-Singapore`, `EMAA-Saudi`, or the value as it is.")
    ] = None
    mix_mode: Annotated[
        str,
        _about(
            "MixMode: `single`, `mixed`, or the value as it is; when absent, `single` with SingleSubParams alone and"
            " `mixed` otherwise."
        ),
    ] = "mixed"
    idle_timeout_seconds: Annotated[int | None, _about("MaxIdleTime, seconds.")] = None
    audio_only: Annotated[bool, _about("AudioOnly; false without EncodeParams.")] = False
    has_encode_params: Annotated[bool, _about("EncodeParams are given.")] = False
    has_transcode_params: Annotated[bool, _about("TranscodeParams are given.")] = False
    has_stream_url: Annotated[bool, _about("StreamURL is given.")] = False
    has_multi_stream_url: Annotated[bool, _about("MultiStreamURL is given.")] = False
    missing_encode_params: Annotated[
        tuple[str, ...],
        _about("Derived: missing required fields of EncodeParams, such as `VideoGop`; none if unreadable."),
    ] = ()
    video: Annotated[VideoFacts, _about("The video part of EncodeParams; always present.")] = VideoFacts()
    audio: Annotated[AudioFacts, _about("The audio part of EncodeParams; always present.")] = AudioFacts()
    outputs: Annotated[
        tuple[OutputFacts, ...],
        _about("The distinct URLs of StreamURL and MultiStreamURL, without their secret parts."),
    ] = ()
    panes: Annotated[
        tuple[PaneFacts, ...], _about("The panes of the layout; the canvas goes from 0.0 to 1.0 in both directions.")
    ] = ()
    pane_count: Annotated[int, _about("Derived: number of panes.")] = 0
    panes_outside: Annotated[int, _about("Derived: panes that extend beyond the canvas by more than a thousandth.")] = 0
    overlapping_panes: Annotated[
        int,
        _about(
            "Derived: pairs of panes of one layer that overlap by more than a thousandth in both directions;"
            " a pane without z_order is in layer 0. The first 100 panes are compared."
        ),
    ] = 0
    unlisted_pane_users: Annotated[int, _about("Panes whose user is not listed; 0 if no user is listed.")] = 0
    audio_pane_users: Annotated[int, _about("Panes whose user is listed with the stream type audio.")] = 0
    repeated_pane_users: Annotated[int, _about("Panes with the user and source type of an earlier pane.")] = 0
    push_expires: Annotated[datetime | None, _about("Derived: the earliest `push_expires` of the outputs.")] = None
    users: Annotated[
        int | None, _about("Number of listed users; absent if none is listed: then all users are mixed.")
    ] = None
    user_streams: Annotated[tuple[UserStreamFacts, ...], _about("The stream of each listed user that is mixed.")] = ()
    has_background: Annotated[bool, _about("A background image is set.")] = False
    background_render_mode: Annotated[int | None, _about("The RenderMode of Background.")] = None
    sei: Annotated[SeiFacts | None, _about("SeiParams.")] = None
    source: Annotated[SourceFacts | None, _about("SingleSubParams: the stream that is relayed.")] = None
    field_errors: Annotated[
        tuple[str, ...], _about("Paths of unreadable fields, such as `EncodeParams.VideoBitrate`.")
    ] = ()
    unknown_values: Annotated[
        tuple[str, ...], _about("Paths of fields with undocumented values, such as `Region`.")
    ] = ()


class QuotaFacts(Struct, frozen=True, kw_only=True):
    """`app.quota`: the configured quota of the app."""

    single: Annotated[int | None, _about("Single-stream relay tasks.")] = None
    mixed: Annotated[int | None, _about("Mixed-stream relay tasks.")] = None


class RangeFacts(Struct, frozen=True, kw_only=True):
    """One of the ranges of `app.expect`; a missing bound is infinite."""

    min: Annotated[float, _about("The minimum, or minus infinity.")] = -inf
    max: Annotated[float, _about("The maximum, or infinity.")] = inf
    words: Annotated[str, _about("The range as text.")] = ""


def _expected(kind: ValueType) -> Any:
    if Range in kind.models:
        return RangeFacts
    return kind.core if kind.item is None else GenericAlias(tuple, (kind_of(kind.item).core, ...))


ExpectFacts: Final = defstruct(
    "ExpectFacts",
    [
        (key, Annotated[_expected(kind) | None, _about("As configured.")], None)
        for key, kind in kinds_of(Expect).items()
        if key != "tasks"
    ],
    frozen=True,
)
"""`app.expect`: the configured expectations of the app; keys that are not set are absent."""


class AppFacts(Struct, frozen=True, kw_only=True):
    """`app`: the app that the task belongs to, as configured here."""

    id: Annotated[str, _about("The AppId.")] = ""
    name: Annotated[str, _about("Its name; may be empty.")] = ""
    owner: Annotated[str, _about("Its owner; may be empty.")] = ""
    account: Annotated[str, _about("The account's name.")] = ""
    quota: Annotated[QuotaFacts, _about("Its configured quota.")] = QuotaFacts()
    expect: Annotated[
        ExpectFacts,  # type: ignore[valid-type]  # built from their declaration
        _about("Its configured expectations; those that are not set are absent."),
    ] = ExpectFacts()


class Variables(Struct, frozen=True, kw_only=True):
    """The variables of expressions. One that uses only `task` is evaluated once per distinct configuration."""

    task: Annotated[TaskFacts, _about("The task's configuration.")]
    task_id: Annotated[str, _about("The TaskId.")]
    channel_id: Annotated[str, _about("The ChannelId.")]
    first_seen: Annotated[datetime, _about("When the exporter first saw the task.")]
    last_changed: Annotated[datetime, _about("When the exporter last saw it change.")]
    age: Annotated[timedelta, _about("`now - first_seen`.")]
    now: Annotated[datetime, _about("The current time; a rule that uses it or `age` is evaluated once a minute.")]
    shared_outputs: Annotated[
        int, _about("Push URLs whose stream another task of any app uses too, with any signature, by RTMP or RTMPS.")
    ]
    cdn_flag_conflicts: Annotated[int, _about("Push hosts whose IsAliCdn another task of any app contradicts.")]
    app: Annotated[AppFacts, _about("The app that the task belongs to.")]


class FactType(StrEnum):
    """What a fact is; the value is CEL's name for it."""

    TEXT = "string"
    WHOLE_NUMBER = "int"
    NUMBER = "double"
    CONDITION = "bool"
    TIMESTAMP = "timestamp"
    DURATION = "duration"
    GROUP = "map"


_KINDS: Final[Mapping[type, FactType]] = {
    str: FactType.TEXT,
    bool: FactType.CONDITION,
    int: FactType.WHOLE_NUMBER,
    float: FactType.NUMBER,
    datetime: FactType.TIMESTAMP,
    timedelta: FactType.DURATION,
}


class Fact(Struct, frozen=True):
    """One variable or field."""

    name: str
    kind: FactType  # of each item, where it is a list
    is_list: bool
    is_optional: bool  # whether it can be absent
    description: str
    group: type[Struct] | None = None  # where its own fields are declared


@cache
def facts_of(struct: type[Struct]) -> tuple[Fact, ...]:
    """Return what a declaration declares, in its order."""
    return tuple(_fact(name, declared) for name, declared in get_type_hints(struct, include_extras=True).items())


def walk(struct: type[Struct] = Variables, within: str = "") -> Iterator[tuple[str, Fact]]:
    """Yield each fact with the path at which a rule finds it; an item of a list is `task.panes[]`."""
    for fact in facts_of(struct):
        path = f"{within}.{fact.name}" if within else fact.name
        yield path, fact
        if fact.group is not None:
            yield from walk(fact.group, f"{path}[]" if fact.is_list else path)


def _fact(name: str, declared: Any) -> Fact:
    kind, about = get_args(declared)
    is_optional = NoneType in get_args(kind)
    if is_optional:
        (kind,) = {*get_args(kind)} - {NoneType}
    is_list = get_origin(kind) is tuple
    if is_list:
        kind = get_args(kind)[0]
    group = kind if issubclass(kind, Struct) else None
    return Fact(name, _KINDS.get(kind, FactType.GROUP), is_list, is_optional, about.description, group)
