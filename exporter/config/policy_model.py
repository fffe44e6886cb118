"""The keys about rules: which ones are in force, and what is expected of an app's tasks without any expression."""

from collections.abc import Mapping
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from exporter.config.section import Section, problems
from exporter.config.value_types import (
    Choices,
    FilePattern,
    Matches,
    Number,
    OrNone,
    SkipEmpty,
    Some,
    Switch,
    Whole,
)
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

RuleName = Annotated[str, Matches(r"^[a-z0-9-]{1,63}$", "1 to 63 lower-case letters, digits or -")]
SeverityName = Annotated[str, Choices(tuple(SEVERITY_NAMES))]


class RuleSwitch(Section):
    """What is changed about one rule."""

    enabled: Annotated[Switch, Field(description="Whether the rule is in force.")] = True
    severity: Annotated[SeverityName | None, Field(description="Another severity than the rule's own.")] = None


class Policy(Section):
    """Which rules tasks are held against, and how much is said about violations."""

    default_rules: Annotated[Switch, Field(description="Whether the rules that come along are in force.")] = True
    rule_files: Annotated[
        tuple[FilePattern, ...],
        Field(description="Files that hold rules, as names or patterns; followed when they change."),
    ] = ()
    rules: Annotated[
        Mapping[RuleName, RuleSwitch],
        SkipEmpty,
        Field(description="Changes to single rules, by name; the `expect-` rules of all apps too."),
    ] = {}
    examples_per_rule: Annotated[
        Whole, Field(ge=0, le=100, description="How many violating tasks are named for each app and rule.")
    ] = 5
    max_examples: Annotated[
        Whole, Field(ge=0, le=100_000, description="How many violating tasks are named over all apps and rules.")
    ] = 2000


Bound = Annotated[Annotated[Number, Field(ge=0)] | None, OrNone]


class Range(Section):
    """Between what a number is expected to be, both ends included; at least one of them is given."""

    least: Annotated[Bound, Field(description="The least; `none`: no bound.", alias="min")] = None
    most: Annotated[Bound, Field(description="The most; `none`: no bound.", alias="max")] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        found = []
        if self.least is None and self.most is None:
            found.append(("", "{label} has neither min nor max, expected at least one of them"))
        elif self.least is not None and self.most is not None and self.least > self.most:
            found.append(("min", f"min {self.least:g} of {{label}} is above its max, expected at most {self.most:g}"))
        return problems(found, self)


Region = Annotated[
    str, Matches(r"^[A-Za-z0-9_-]{1,64}$", "a region such as CN-Shanghai"), Choices(REGIONS, closed=False)
]
MixMode = Annotated[str, Choices(tuple(MIX_MODES))]
HostPattern = Annotated[
    str,
    Matches(
        r"^(?:[a-z0-9._*?-]{1,253}|[0-9a-f:.*?]{2,45})$", "a host in lower case, or a pattern such as *.example.com"
    ),
]
PushScheme = Annotated[str, Choices(tuple(PUSH_SCHEMES))]
VideoCodec = Annotated[str, Choices(tuple(VIDEO_CODECS))]
VideoProfile = Annotated[str, Choices(tuple(VIDEO_PROFILES))]
VideoPreset = Annotated[str, Choices(tuple(VIDEO_PRESETS))]
Resolution = Annotated[str, Choices(tuple(RESOLUTIONS))]
Channels = Annotated[int, Choices(AUDIO_CHANNELS)]
SampleRate = Annotated[int, Choices(AUDIO_SAMPLE_RATES_HERTZ)]


class Expect(Section):
    """What is expected of an app's tasks; each key becomes a rule, `expect-region` and so on.

    A list names all values that are fine; a range has `min`, `max` or both. What a task has no part of does not
    apply to it.
    """

    region: Annotated[Some[Region] | None, Field(description="Regions, such as CN-Shanghai; critical.")] = None
    mix_mode: Annotated[Some[MixMode] | None, Field(description="Modes.")] = None
    push_hosts: Annotated[
        Some[HostPattern] | None,
        Field(description="Hosts that are pushed to, as names or patterns with * or ?; critical."),
    ] = None
    push_schemes: Annotated[Some[PushScheme] | None, Field(description="Schemes of the push URLs.")] = None
    ali_cdn: Annotated[Some[Switch] | None, Field(description="Whether it is pushed to the vendor's own CDN.")] = None
    video_codec: Annotated[Some[VideoCodec] | None, Field(description="Video codecs.")] = None
    video_profile: Annotated[Some[VideoProfile] | None, Field(description="Profiles of the video codec.")] = None
    video_preset: Annotated[Some[VideoPreset] | None, Field(description="Presets of the video encoder.")] = None
    resolution: Annotated[
        Some[Resolution] | None,
        Field(description="Resolutions by the short side; those higher than wide are named as such."),
    ] = None
    audio_only: Annotated[Some[Switch] | None, Field(description="Whether tasks have audio alone.")] = None
    audio_channels: Annotated[Some[Channels] | None, Field(description="Numbers of audio channels.")] = None
    audio_sample_rate: Annotated[Some[SampleRate] | None, Field(description="Audio sample rates, Hz.")] = None
    video_bitrate_kbps: Annotated[Range | None, Field(description="Video bitrate, kbit/s.")] = None
    audio_bitrate_kbps: Annotated[Range | None, Field(description="Audio bitrate, kbit/s.")] = None
    video_framerate: Annotated[Range | None, Field(description="Frames per second.")] = None
    gop_seconds: Annotated[Range | None, Field(description="Length of a group of pictures, seconds.")] = None
    idle_timeout_seconds: Annotated[
        Range | None, Field(description="MaxIdleTime, seconds; a task without one is over any `max`.")
    ] = None
    panes: Annotated[Range | None, Field(description="Panes of the layout.")] = None
    users: Annotated[Range | None, Field(description="Users listed.")] = None
    outputs: Annotated[Range | None, Field(description="Push URLs of a task.")] = None
    tasks: Annotated[Range | None, Field(description="Tasks of the app.")] = None
