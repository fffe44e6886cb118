"""Every key of the configuration: its type, bounds, default and meaning, declared once.

The loader, the editors' JSON Schema and the reference in `docs/configuration.md` derive from these
declarations. A key in YAML is the field's name, or what `name=` says; a field of the kind `duration` is
written as `30s` and held in seconds; a `Secret` can also be in the file that the key with `_file` names.
Values that come from `loader.py` or `flags.py` are checked; direct construction checks nothing.
"""

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final, Self

import yaml
from pydantic import Field, PlainSerializer, ValidationInfo, model_validator

from exporter.config.credential_kinds import Credentials, DefaultChain
from exporter.config.durations import format_duration
from exporter.config.section import Section, problems
from exporter.config.value_types import (
    Bounds,
    Choices,
    DefaultNote,
    Duration,
    Endpoint,
    FileName,
    FilePattern,
    Matches,
    Number,
    OrNone,
    Proxy,
    SkipEmpty,
    Some,
    Switch,
    Whole,
)
from exporter.core.push_auth import HostSetting, PushAuthSettings
from exporter.core.secret import HIDDEN, Secret, SecretFile
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
        Field(description="Rule files, as names or patterns; reloaded on change."),
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
                    entry.hosts,
                    None if entry.validity_seconds is None else round(entry.validity_seconds),
                    entry.signer,
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
        Some[HostPattern] | None,
        Field(description="Push hosts, as names or patterns with * or ?; critical."),
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
        Some[Resolution] | None,
        Field(description="Resolutions by the short side; `portrait_` if height > width."),
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


DEFAULT_ENDPOINT: Final = "https://live.aliyuncs.com"
DEFAULT_REQUESTS_PER_SECOND: Final = 40.0
STALE_AFTER_SWEEPS: Final = 3
LEAST_STALE_AFTER_SWEEPS: Final = 2

AccountName = Annotated[str, Matches(r"^[A-Za-z0-9_.-]{1,64}$", "1 to 64 letters, digits or _ . -")]
AppId = Annotated[str, Matches(r"^[A-Za-z0-9_-]{1,64}$", "1 to 64 letters, digits or _ -")]
TaskCount = Annotated[Annotated[Whole, Field(ge=0, le=1_000_000_000)] | None, OrNone]


class Quota(Section):
    """The maximum number of tasks of an app. Without a value, or with `none`, it is unknown and not published."""

    single: Annotated[TaskCount, Field(description="Single-stream relay tasks.")] = None
    mixed: Annotated[TaskCount, Field(description="Mixed-stream relay tasks.")] = None


class App(Section):
    """An app to read."""

    id: Annotated[AppId, Field(description="The AppId; the label `app_id`.")]
    name: Annotated[str, Field(max_length=200, description="A name for people; the label `name`.")] = ""
    owner: Annotated[str, Field(max_length=200, description="The owner; the label `owner`.")] = ""
    quota: Annotated[Quota, Field(description="The maximum number of tasks.")] = Quota()
    expect: Annotated[Expect | None, Field(description="Expectations of its tasks.")] = None


class Account(Section):
    """An account of the service with its credentials, request budget and apps."""

    name: Annotated[AccountName, Field(description="The label `account`.")]
    endpoint: Annotated[
        Endpoint,
        Field(description="The service's address: scheme and host."),
    ] = DEFAULT_ENDPOINT
    requests_per_second: Annotated[
        Number,
        Field(
            gt=0,
            le=50,
            description=(
                "This exporter's share of the 50 requests per second that the cloud account has for all its"
                " users. Two replicas need half each."
            ),
        ),
    ] = DEFAULT_REQUESTS_PER_SECOND
    limit_group: Annotated[
        AccountName | None,
        Field(
            description=(
                "Entries with the same name share one limiter: several RAM users of one cloud account."
                " Entries with the same endpoint and key always do."
            ),
        ),
    ] = None
    proxy: Annotated[
        Proxy | None,
        Field(description="HTTP proxy. Default: HTTPS_PROXY and NO_PROXY."),
    ] = None
    ca_file: Annotated[
        FileName | None, Field(description="PEM file with CAs to trust in addition to the system's.")
    ] = None
    app_files: Annotated[
        tuple[FilePattern, ...],
        Field(description="Files with lists of apps, as names or patterns; reloaded on change."),
    ] = ()
    credentials: Annotated[
        Credentials,
        Field(description="Source of the access key. Default: the official default chain."),
    ] = DefaultChain()
    apps: Annotated[tuple[App, ...], Field(description="The apps, in addition to those of `app_files`.")] = ()

    def __repr__(self) -> str:
        """Name it alone: the proxy's address can hold a password."""
        return f"Account({self.name!r})"


class Collection(Section):
    """Intervals and limits of reading the lists."""

    interval_seconds: Annotated[
        Duration,
        Field(ge=0.1, description="Interval between updates of an app.", alias="interval"),
    ] = 10.0
    sweep_interval_seconds: Annotated[
        Duration,
        Field(
            ge=0.1,
            description="Interval between sweeps of an app; at least `interval`.",
            alias="sweep_interval",
        ),
    ] = 300.0
    stale_after_seconds: Annotated[
        Duration,
        Field(
            ge=0.2,
            description="Age of the last accepted sweep at which data is withdrawn; at least 2 x `sweep_interval`.",
            alias="stale_after",
        ),
        DefaultNote("3 x `sweep_interval`"),
    ] = 0.0
    request_timeout_seconds: Annotated[
        Duration,
        Field(
            ge=0.1,
            le=300,
            description="Timeout of a request, from connecting to the last byte.",
            alias="request_timeout",
        ),
    ] = 10.0
    max_tasks_per_app: Annotated[
        Whole,
        Field(ge=100, le=10_000_000, description="An app with more tasks is not read: `limit_exceeded`."),
    ] = 200_000

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        """Refuse intervals that do not fit each other, where they come from a file."""
        if not self.stale_after_seconds:
            object.__setattr__(self, "stale_after_seconds", STALE_AFTER_SWEEPS * self.sweep_interval_seconds)
        return self if info.context is None else problems(self._misfits(), self)

    def _misfits(self) -> list[tuple[str, str]]:
        found = []
        if self.interval_seconds > self.sweep_interval_seconds:
            given = "interval" if "interval_seconds" in self.model_fields_set else "sweep_interval"
            text = f"interval {format_duration(self.interval_seconds)} is longer than sweep_interval"
            found.append((given, f"{text}, expected at most {format_duration(self.sweep_interval_seconds)}"))
        least_seconds = LEAST_STALE_AFTER_SWEEPS * self.sweep_interval_seconds
        if self.stale_after_seconds < least_seconds:
            text = f"stale_after {format_duration(self.stale_after_seconds)} is too short"
            found.append(
                ("stale_after", f"{text}, expected at least 2 x sweep_interval, {format_duration(least_seconds)}")
            )
        return found


class Buckets(Section):
    """Upper bounds of the distributions, ascending; +Inf is added.

    The defaults are few: each bound adds a series per app, region and mode.
    """

    video_bitrate_kbps: Annotated[Bounds, Field(description="Video bitrate, kbit/s.")] = (
        500, 1000, 2000, 3000, 4000, 8000,
    )  # fmt: skip
    audio_bitrate_kbps: Annotated[Bounds, Field(description="Audio bitrate, kbit/s.")] = (
        64, 128, 256,
    )  # fmt: skip
    video_framerate: Annotated[Bounds, Field(description="Frames per second.")] = (
        15,
        25,
        30,
        60,
    )
    gop_seconds: Annotated[Bounds, Field(description="Length of a group of pictures, GOP / framerate.")] = (
        1, 2, 4, 10,
    )  # fmt: skip
    frame_pixels: Annotated[Bounds, Field(description="Width x height.")] = (
        307_200, 921_600, 2_073_600,
    )  # fmt: skip
    idle_timeout_seconds: Annotated[Bounds, Field(description="MaxIdleTime, seconds.")] = (
        60, 600, 3600, 86400,
    )  # fmt: skip
    panes: Annotated[Bounds, Field(description="Panes of the layout.")] = (0, 1, 4, 9)
    users: Annotated[Bounds, Field(description="Users listed.")] = (1, 4, 16)


DATABASE_URL: Final = r"^(sqlite:/?[^/]|postgresql\+psycopg://)"


def _shown_url(url: Secret) -> str:
    """Return a database's URL without what may be a password."""
    if isinstance(url, SecretFile):
        return HIDDEN
    address, mark, _ = url.reveal().partition("?")
    return re.sub("//.*@", f"//{HIDDEN}@", address) + (mark and mark + HIDDEN)


class Storage(Section):
    """A database of tasks, changes and violations that outlives the process. Off by default."""

    url: Annotated[
        Secret,
        PlainSerializer(_shown_url, when_used="json"),
        Field(
            description=(
                "`sqlite:PATH`, readable by its owner only, or `postgresql+psycopg://USER@HOST/DATABASE`, as SQLAlchemy"
                " has it. Use `url_file` for a URL with a password."
            ),
            json_schema_extra={"pattern": DATABASE_URL},
        ),
    ]
    retention_seconds: Annotated[
        Duration,
        Field(ge=60, description="Age at which changes and resolved violations are removed.", alias="retention"),
    ] = 90 * 86400.0

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        """Refuse other databases, and let the path of a file be relative to the configuration."""
        if info.context is None or isinstance(self.url, SecretFile):
            return self
        kind, _, rest = self.url.reveal().partition(":")
        if not re.match(DATABASE_URL, self.url.reveal()):
            expected = "sqlite:PATH or postgresql+psycopg://USER@HOST/DATABASE"
            return problems([("url", f"url is another database, expected {expected}")], self)
        if kind == "sqlite":
            object.__setattr__(self, "url", Secret(f"sqlite:{info.context['directory'] / rest}"))
        elif find_spec("psycopg") is None:
            return problems([("url", "url needs psycopg, expected an installed rtcmpu-exporter[postgresql]")], self)
        return self

    @property
    def sqlite_file(self) -> Path | None:
        """The file of an SQLite database that the configuration names itself."""
        if isinstance(self.url, SecretFile):
            return None
        kind, _, path = self.url.reveal().partition(":")
        return Path(path) if kind == "sqlite" else None


class PerTask(Section):
    """Per-task series on `/metrics/tasks`, off by default."""

    enabled: Annotated[Switch, Field(description="Whether to publish them.")] = False
    max_series: Annotated[
        Whole,
        Field(
            ge=1,
            le=10_000_000,
            description="Maximum number of series, 4 to 16 per task, over all apps. Further tasks are left out.",
        ),
    ] = 100_000


class Metrics(Section):
    """Published metrics."""

    per_task: Annotated[PerTask, Field(description="Per-task series.")] = PerTask()

    buckets: Annotated[Buckets, Field(description="Upper bounds of the distributions.")] = Buckets()


class Config(Section):
    """The whole configuration."""

    accounts: Annotated[
        tuple[Account, ...],
        Field(json_schema_extra={"minItems": 1}, description="The accounts with their apps."),
    ]
    collection: Annotated[Collection, Field(description="Intervals and limits of reading the lists.")] = Collection()
    policy: Annotated[Policy, Field(description="Rules and violations.")] = Policy()
    storage: Annotated[Storage | None, Field(description="A database that outlives the process. Default: none.")] = None
    metrics: Annotated[Metrics, Field(description="Published metrics.")] = Metrics()


def redacted(config: Config) -> str:
    """Return the configuration in effect as YAML, defaults included, each secret as `<secret>`."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)
