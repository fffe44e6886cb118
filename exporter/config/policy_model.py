"""The keys of the configuration about rules, and about what an app expects; as `model.py` declares all others."""

from collections.abc import Mapping
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from exporter.config.section import Section, problems
from exporter.config.value_types import (
    Choices,
    Duration,
    FilePattern,
    Matches,
    Number,
    OrNone,
    SkipEmpty,
    Some,
    Switch,
    Whole,
)
from exporter.core.push_auth import HostSetting, PushAuthSettings
from exporter.core.task import (
    AUDIO_CHANNELS,
    AUDIO_SAMPLE_RATES_HERTZ,
    MIX_MODES,
    PUSH_SCHEMES,
    REGIONS,
    RESOLUTIONS,
    VIDEO_CODECS,
    VIDEO_PRESETS,
    VIDEO_PROFILES,
)

SEVERITY_NAMES: Final = ("info", "warning", "critical")
"""How much a violation matters, least first."""

RuleName = Annotated[str, Matches(r"^[a-z0-9-]{1,63}$", "1 to 63 lower-case letters, digits or -")]
SeverityName = Annotated[str, Choices(tuple(SEVERITY_NAMES))]


PROFILES: Final = ("aws-ivs", "facebook", "youtube", "twitch")
"""Platforms whose requirements are rules of the package."""

Profile = Annotated[str, Choices(PROFILES)]


class RuleSwitch(Section):
    """A change to one rule."""

    enabled: Annotated[Switch, Field(description="Whether the rule is active.")] = True
    severity: Annotated[SeverityName | None, Field(description="The severity instead of the rule's own.")] = None


HostPattern = Annotated[
    str,
    Matches(
        r"^(?:[a-z0-9._*?-]{1,253}|[0-9a-f:.*?]{2,45})$", "a host in lower case, or a pattern such as *.example.com"
    ),
]


class PushAuth(Section):
    """How the time in the push URLs of some hosts is read. The first entry that fits a host and signer counts."""

    hosts: Annotated[HostPattern, Field(description="The push host, as a name or pattern.")]
    validity_seconds: Annotated[
        Annotated[Duration, Field(ge=1, le=366 * 86400)] | None,
        OrNone,
        Field(
            alias="validity",
            description="How long a key is valid after the time in its URL: the validity that the console of the live"
            " service shows for the push domain under URL signing. Needed for URLs with `auth_key` (Alibaba, Huawei)"
            " and `hwTime`; other signers write the expiry itself.",
        ),
    ] = None
    signer: Annotated[
        Annotated[str, Choices(("alibaba", "tencent", "huawei"))] | None,
        OrNone,
        Field(
            description="Whose keys they are, where vendors share a form: `auth_key` and `txTime` are also Huawei's."
        ),
    ] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        found = []
        if self.validity_seconds is None and self.signer is None:
            found.append(
                (
                    "",
                    (
                        "{label} has neither validity nor signer, expected at least one of them; validity is how long"
                        " a key is valid after the time in its URL: see URL signing of the push domain in the console"
                    ),
                )
            )
        return problems(found, self)


class Policy(Section):
    """Rules, and the number of examples of violations."""

    default_rules: Annotated[Switch, Field(description="Whether the default rules are active.")] = True
    profiles: Annotated[
        tuple[Profile, ...],
        Field(description="Platforms whose requirements are checked for tasks that push to their hosts."),
    ] = ()
    rule_files: Annotated[
        tuple[FilePattern, ...],
        Field(description="Rule files: names, or patterns (a warning if none matches); reloaded on change."),
    ] = ()
    rules: Annotated[
        Mapping[RuleName, RuleSwitch],
        SkipEmpty,
        Field(description="Changes to single rules by name, including the `expect-` rules."),
    ] = {}
    examples_per_rule: Annotated[
        Whole, Field(ge=0, le=100, description="Maximum number of example tasks per app and rule.")
    ] = 5
    max_examples: Annotated[
        Whole, Field(ge=0, le=100_000, description="Maximum number of example tasks over all apps and rules.")
    ] = 2000
    push_auth: Annotated[
        tuple[PushAuth, ...],
        Field(description="What the time in push URLs means, by host; the first entry that fits counts."),
    ] = ()
    push_expiry_warning_seconds: Annotated[
        Duration,
        Field(
            ge=1, description="How long before its expiry a push key counts as expiring.", alias="push_expiry_warning"
        ),
    ] = 86400.0

    @property
    def push_auth_settings(self) -> PushAuthSettings:
        """How the times in push URLs are read."""
        return PushAuthSettings(
            tuple(
                HostSetting(
                    entry.hosts, None if entry.validity_seconds is None else round(entry.validity_seconds), entry.signer
                )
                for entry in self.push_auth
            ),
            self.push_expiry_warning_seconds,
        )


Bound = Annotated[Annotated[Number, Field(ge=0)] | None, OrNone]


class Range(Section):
    """A range with both ends included; at least one of them is required."""

    least: Annotated[Bound, Field(description="The minimum; `none`: no bound.", alias="min")] = None
    most: Annotated[Bound, Field(description="The maximum; `none`: no bound.", alias="max")] = None

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
PushScheme = Annotated[str, Choices(tuple(PUSH_SCHEMES))]
VideoCodec = Annotated[str, Choices(tuple(VIDEO_CODECS))]
VideoProfile = Annotated[str, Choices(tuple(VIDEO_PROFILES))]
VideoPreset = Annotated[str, Choices(tuple(VIDEO_PRESETS))]
Resolution = Annotated[str, Choices(tuple(RESOLUTIONS))]
Channels = Annotated[int, Choices(AUDIO_CHANNELS)]
SampleRate = Annotated[int, Choices(AUDIO_SAMPLE_RATES_HERTZ)]


class Expect(Section):
    """Expectations of an app's tasks. Each key becomes a rule, such as `expect-region`.

    A list has all allowed values; a range has `min`, `max` or both. A key does not apply to tasks without the field.
    """

    region: Annotated[Some[Region] | None, Field(description="Regions, such as CN-Shanghai; critical.")] = None
    mix_mode: Annotated[Some[MixMode] | None, Field(description="Modes.")] = None
    push_hosts: Annotated[
        Some[HostPattern] | None, Field(description="Push hosts, as names or patterns with * or ?; critical.")
    ] = None
    push_schemes: Annotated[Some[PushScheme] | None, Field(description="Schemes of the push URLs.")] = None
    ali_cdn: Annotated[Some[Switch] | None, Field(description="Whether tasks push to the vendor's own CDN.")] = None
    push_auth: Annotated[
        Annotated[str, Choices(("signed",))] | None,
        Field(description="Whether push URLs have a key whose signer is known; a stream key in the path is not one."),
    ] = None
    video_codec: Annotated[Some[VideoCodec] | None, Field(description="Video codecs.")] = None
    video_profile: Annotated[Some[VideoProfile] | None, Field(description="Profiles of the video codec.")] = None
    video_preset: Annotated[Some[VideoPreset] | None, Field(description="Presets of the video encoder.")] = None
    resolution: Annotated[
        Some[Resolution] | None, Field(description="Resolutions by the short side; `portrait_` if height > width.")
    ] = None
    audio_only: Annotated[Some[Switch] | None, Field(description="Whether tasks are audio-only.")] = None
    audio_channels: Annotated[Some[Channels] | None, Field(description="Numbers of audio channels.")] = None
    audio_sample_rate: Annotated[Some[SampleRate] | None, Field(description="Audio sample rates, Hz.")] = None
    video_bitrate_kbps: Annotated[Range | None, Field(description="Video bitrate, kbit/s.")] = None
    audio_bitrate_kbps: Annotated[Range | None, Field(description="Audio bitrate, kbit/s.")] = None
    video_framerate: Annotated[Range | None, Field(description="Frames per second.")] = None
    gop_seconds: Annotated[Range | None, Field(description="Length of a group of pictures, seconds.")] = None
    idle_timeout_seconds: Annotated[
        Range | None, Field(description="MaxIdleTime, seconds; a task without one violates any `max`.")
    ] = None
    panes: Annotated[Range | None, Field(description="Panes of the layout.")] = None
    users: Annotated[Range | None, Field(description="Users listed.")] = None
    outputs: Annotated[Range | None, Field(description="Push URLs of a task.")] = None
    tasks: Annotated[Range | None, Field(description="Tasks of the app.")] = None
