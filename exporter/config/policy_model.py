"""The keys of the configuration about rules, and about what an app expects; as `model.py` declares all others."""

from collections.abc import Mapping
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from exporter.config.section import Section, about, problems
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

SEVERITY_NAMES: Final = ("info", "warning", "critical")  # how much a violation matters, least first

RuleName = Annotated[str, Matches(r"^[a-z0-9-]{1,63}$", "1 to 63 lower-case letters, digits or -")]
SeverityName = Annotated[str, Choices(tuple(SEVERITY_NAMES))]

PROFILES: Final = ("aws-ivs", "facebook", "youtube", "twitch")  # platforms whose requirements are rules of the package

Profile = Annotated[str, Choices(PROFILES)]


class RuleSwitch(Section):
    """A change to one rule."""

    enabled: Switch = about("Whether the rule is active.", True)
    severity: SeverityName | None = about("The severity instead of the rule's own.", None)


HostPattern = Annotated[
    str,
    Matches(
        r"^(?:[a-z0-9._*?-]{1,253}|[0-9a-f:.*?]{2,45})$", "a host in lower case, or a pattern such as *.example.com"
    ),
]


class PushAuth(Section):
    """How the time in the push URLs of some hosts is read. The first entry that fits a host and signer counts."""

    hosts: Annotated[HostPattern, about("The push host, as a name or pattern.")]
    validity_seconds: Annotated[Annotated[Duration, Field(ge=1, le=366 * 86400)] | None, OrNone] = about(
        "How long a key is valid after the time in its URL; the console shows it for the push domain under URL"
        " signing. Needed for `auth_key` and `hwTime`; other signers write the expiry itself.",
        None,
        alias="validity",
    )
    signer: Annotated[Annotated[str, Choices(("alibaba", "tencent", "huawei"))] | None, OrNone] = about(
        "Whose keys they are: `auth_key` and `txTime` are also Huawei's.", None
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        text = (
            "{label} has neither validity nor signer, expected at least one of them; validity is how long a key is"
            " valid after the time in its URL: see URL signing of the push domain in the console"
        )
        return problems([("", text)] if self.validity_seconds is None and self.signer is None else [], self)


class Policy(Section):
    """Rules, and the number of examples of violations."""

    default_rules: Switch = about("Whether the default rules are active.", True)
    profiles: tuple[Profile, ...] = about("Platforms whose requirements are checked.", ())
    rule_files: tuple[FilePattern, ...] = about("Rule files, or patterns; reloaded on change.", ())
    rules: Annotated[Mapping[RuleName, RuleSwitch], SkipEmpty] = about("Changes to single rules by name.", {})
    examples_per_rule: Whole = about("Maximum number of example tasks per app and rule.", 5, ge=0, le=100)
    max_examples: Whole = about("Maximum number of example tasks over all apps and rules.", 2000, ge=0, le=100_000)
    push_auth: tuple[PushAuth, ...] = about("What the time in push URLs means, by host.", ())
    push_expiry_warning_seconds: Duration = about(
        "How long before its expiry a push key counts as expiring.", 86400.0, ge=1, alias="push_expiry_warning"
    )

    @property
    def push_auth_settings(self) -> PushAuthSettings:
        """How the times in push URLs are read."""
        hosts = (
            (each.hosts, None if each.validity_seconds is None else round(each.validity_seconds), each.signer)
            for each in self.push_auth
        )
        return PushAuthSettings(tuple(HostSetting(*each) for each in hosts), self.push_expiry_warning_seconds)


Bound = Annotated[Annotated[Number, Field(ge=0)] | None, OrNone]


class Range(Section):
    """A range with both ends included; at least one of them is required."""

    least: Bound = about("The minimum; `none`: no bound.", None, alias="min")
    most: Bound = about("The maximum; `none`: no bound.", None, alias="max")

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

    region: Some[Region] | None = about("Regions; critical.", None)
    mix_mode: Some[MixMode] | None = about("Modes.", None)
    push_hosts: Some[HostPattern] | None = about("Push hosts, or patterns with `*` and `?`; critical.", None)
    push_schemes: Some[PushScheme] | None = about("Schemes of the push URLs.", None)
    ali_cdn: Some[Switch] | None = about("Whether tasks push to the vendor's own CDN.", None)
    push_auth: Annotated[str, Choices(("signed",))] | None = about(
        "Push URLs have a key whose signer is known; a stream key in the path is not one.", None
    )
    video_codec: Some[VideoCodec] | None = about("Video codecs.", None)
    video_profile: Some[VideoProfile] | None = about("Profiles of the video codec.", None)
    video_preset: Some[VideoPreset] | None = about("Presets of the video encoder.", None)
    resolution: Some[Resolution] | None = about("Resolutions by the short side; `portrait_` if height > width.", None)
    audio_only: Some[Switch] | None = about("Whether tasks are audio-only.", None)
    audio_channels: Some[Channels] | None = about("Numbers of audio channels.", None)
    audio_sample_rate: Some[SampleRate] | None = about("Audio sample rates, Hz.", None)
    video_bitrate_kbps: Range | None = about("Video bitrate, kbit/s.", None)
    audio_bitrate_kbps: Range | None = about("Audio bitrate, kbit/s.", None)
    video_framerate: Range | None = about("Frames per second.", None)
    gop_seconds: Range | None = about("Length of a group of pictures, seconds.", None)
    idle_timeout_seconds: Range | None = about("MaxIdleTime, seconds; a task without one violates any `max`.", None)
    panes: Range | None = about("Panes of the layout.", None)
    users: Range | None = about("Users listed.", None)
    outputs: Range | None = about("Push URLs of a task.", None)
    tasks: Range | None = about("Tasks of the app.", None)
