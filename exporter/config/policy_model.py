"""The keys about rules: which ones are in force, and what is expected of an app's tasks without any expression."""

from collections.abc import Mapping
from typing import Annotated, Final, TypeVar

from msgspec import Meta, Struct, field

from exporter.frame_size import RESOLUTIONS
from exporter.task import (
    AUDIO_CHANNELS,
    AUDIO_SAMPLE_RATES_HERTZ,
    MIX_MODES,
    PUSH_SCHEMES,
    REGIONS,
    VIDEO_CODECS,
    VIDEO_PRESETS,
    VIDEO_PROFILES,
)

SEVERITY_NAMES: Final = ("info", "warning", "critical")
"""How much a violation matters, least first."""

FilePattern = Annotated[
    str, Meta(pattern=r"^[^\u0000]+$", extra={"expected": "the name of a file, or a pattern with * ? or **"})
]
RuleName = Annotated[
    str, Meta(pattern=r"^[a-z0-9-]{1,63}$", extra={"expected": "1 to 63 lower-case letters, digits or -"})
]
SeverityName = Annotated[str, Meta(extra={"choices": SEVERITY_NAMES})]
Bound = Annotated[float, Meta(ge=0)]


class RuleSwitch(Struct, frozen=True, kw_only=True):
    """What is changed about one rule."""

    enabled: Annotated[bool, Meta(description="Whether the rule is in force.")] = True
    severity: Annotated[SeverityName | None, Meta(description="Another severity than the rule's own.")] = None


class Policy(Struct, frozen=True, kw_only=True):
    """Which rules tasks are held against, and how much is said about violations."""

    default_rules: Annotated[bool, Meta(description="Whether the rules that come along are in force.")] = True
    rule_files: Annotated[
        tuple[FilePattern, ...],
        Meta(description="Files that hold rules, as names or patterns; followed when they change."),
    ] = ()
    rules: Annotated[
        Mapping[RuleName, RuleSwitch],
        Meta(description="Changes to single rules, by name; the `expect-` rules of all apps too."),
    ] = field(default_factory=dict)
    examples_per_rule: Annotated[
        int, Meta(ge=0, le=100, description="How many violating tasks are named for each app and rule.")
    ] = 5
    max_examples: Annotated[
        int, Meta(ge=0, le=100_000, description="How many violating tasks are named over all apps and rules.")
    ] = 2000


class Range(Struct, frozen=True, kw_only=True):
    """Between what a number is expected to be, both ends included; at least one of them is given."""

    least: Annotated[Bound | None, Meta(description="The least; `none`: no bound.")] = field(default=None, name="min")
    most: Annotated[Bound | None, Meta(description="The most; `none`: no bound.")] = field(default=None, name="max")


T = TypeVar("T")
Some = Annotated[tuple[T, ...], Meta(min_length=1)]
"""A list that is not empty."""

Region = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        extra={"choices": REGIONS, "open": True, "expected": "a region such as CN-Shanghai"},
    ),
]
MixMode = Annotated[str, Meta(extra={"choices": MIX_MODES})]
HostPattern = Annotated[
    str,
    Meta(
        pattern=r"^(?:[a-z0-9._*?-]{1,253}|[0-9a-f:.*?]{2,45})$",
        extra={"expected": "a host in lower case, or a pattern such as *.example.com"},
    ),
]
PushScheme = Annotated[str, Meta(extra={"choices": PUSH_SCHEMES})]
VideoCodec = Annotated[str, Meta(extra={"choices": VIDEO_CODECS})]
VideoProfile = Annotated[str, Meta(extra={"choices": VIDEO_PROFILES})]
VideoPreset = Annotated[str, Meta(extra={"choices": VIDEO_PRESETS})]
Resolution = Annotated[str, Meta(extra={"choices": RESOLUTIONS})]
Channels = Annotated[int, Meta(extra={"choices": AUDIO_CHANNELS})]
SampleRate = Annotated[int, Meta(extra={"choices": AUDIO_SAMPLE_RATES_HERTZ})]


class Expect(Struct, frozen=True, kw_only=True):
    """What is expected of an app's tasks; each key becomes a rule, `expect-region` and so on.

    A list names all values that are fine; a range has `min`, `max` or both. What a task has no part of does not
    apply to it.
    """

    region: Annotated[Some[Region] | None, Meta(description="Regions, such as CN-Shanghai; critical.")] = None
    mix_mode: Annotated[Some[MixMode] | None, Meta(description="Modes.")] = None
    push_hosts: Annotated[
        Some[HostPattern] | None,
        Meta(description="Hosts that are pushed to, as names or patterns with * or ?; critical."),
    ] = None
    push_schemes: Annotated[Some[PushScheme] | None, Meta(description="Schemes of the push URLs.")] = None
    ali_cdn: Annotated[Some[bool] | None, Meta(description="Whether it is pushed to the vendor's own CDN.")] = None
    video_codec: Annotated[Some[VideoCodec] | None, Meta(description="Video codecs.")] = None
    video_profile: Annotated[Some[VideoProfile] | None, Meta(description="Profiles of the video codec.")] = None
    video_preset: Annotated[Some[VideoPreset] | None, Meta(description="Presets of the video encoder.")] = None
    resolution: Annotated[
        Some[Resolution] | None,
        Meta(description="Resolutions by the short side; those higher than wide are named as such."),
    ] = None
    audio_only: Annotated[Some[bool] | None, Meta(description="Whether tasks have audio alone.")] = None
    audio_channels: Annotated[Some[Channels] | None, Meta(description="Numbers of audio channels.")] = None
    audio_sample_rate: Annotated[Some[SampleRate] | None, Meta(description="Audio sample rates, Hz.")] = None
    video_bitrate_kbps: Annotated[Range | None, Meta(description="Video bitrate, kbit/s.")] = None
    audio_bitrate_kbps: Annotated[Range | None, Meta(description="Audio bitrate, kbit/s.")] = None
    video_framerate: Annotated[Range | None, Meta(description="Frames per second.")] = None
    gop_seconds: Annotated[Range | None, Meta(description="Length of a group of pictures, seconds.")] = None
    idle_timeout_seconds: Annotated[
        Range | None, Meta(description="MaxIdleTime, seconds; a task without one is over any `max`.")
    ] = None
    panes: Annotated[Range | None, Meta(description="Panes of the layout.")] = None
    users: Annotated[Range | None, Meta(description="Users listed.")] = None
    outputs: Annotated[Range | None, Meta(description="Push URLs of a task.")] = None
    tasks: Annotated[Range | None, Meta(description="Tasks of the app.")] = None
