"""Every key of the configuration: its type, bounds, default and meaning, declared once.

The loader, the editors' JSON Schema and the reference in `docs/configuration.md` derive from these
declarations. A key in YAML is the field's name, or what `name=` says; a field of the kind `duration` is
written as `30s` and held in seconds; a `Secret` can also stand in the file that the key with `_file` names.
Values that come from `loader.py` or `flags.py` are checked; direct construction checks nothing.
"""

from typing import Annotated, Final, Self

from pydantic import Field, ValidationInfo, model_validator

from exporter.config.credentials import Credentials, DefaultChain
from exporter.config.durations import format_duration
from exporter.config.policy_model import Expect, Policy
from exporter.config.section import Section, problems
from exporter.config.value_types import (
    Bounds,
    DefaultNote,
    Duration,
    Endpoint,
    FileName,
    FilePattern,
    Matches,
    Number,
    OrNone,
    Proxy,
    Switch,
    Whole,
)

DEFAULT_ENDPOINT: Final = "https://live.aliyuncs.com"
DEFAULT_REQUESTS_PER_SECOND: Final = 40.0
STALE_AFTER_SWEEPS: Final = 3
LEAST_STALE_AFTER_SWEEPS: Final = 2

AccountName = Annotated[str, Matches(r"^[A-Za-z0-9_.-]{1,64}$", "1 to 64 letters, digits or _ . -")]
AppId = Annotated[str, Matches(r"^[A-Za-z0-9_-]{1,64}$", "1 to 64 letters, digits or _ -")]
TaskCount = Annotated[Annotated[Whole, Field(ge=0, le=1_000_000_000)] | None, OrNone]


class Quota(Section):
    """How many tasks the vendor allows an app; without a number, or with `none`, it is unknown and not published."""

    single: Annotated[TaskCount, Field(description="Single-stream relay tasks.")] = None
    mixed: Annotated[TaskCount, Field(description="Mixed-stream relay tasks.")] = None


class App(Section):
    """One app whose tasks are read."""

    id: Annotated[AppId, Field(description="The AppId, the label `app_id`.")]
    name: Annotated[str, Field(max_length=200, description="What people call it.")] = ""
    owner: Annotated[str, Field(max_length=200, description="Who answers for it.")] = ""
    quota: Annotated[Quota, Field(description="How many tasks the vendor allows it.")] = Quota()
    expect: Annotated[Expect | None, Field(description="What is expected of its tasks, without any rule file.")] = None


class Account(Section):
    """One access to the service with its budget, and the apps that are read through it."""

    name: Annotated[AccountName, Field(description="The label `account`.")]
    endpoint: Annotated[
        Endpoint,
        Field(description="The service's address, scheme and host alone."),
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
        Field(description="HTTP proxy; if left out, HTTPS_PROXY and NO_PROXY are used."),
    ] = None
    ca_file: Annotated[FileName | None, Field(description="PEM file of authorities to trust beside the system's.")] = (
        None
    )
    app_files: Annotated[
        tuple[FilePattern, ...],
        Field(description="Files that hold lists of apps, as names or patterns; followed when they change."),
    ] = ()
    credentials: Annotated[
        Credentials,
        Field(description="Where the access key comes from; if left out, the official default chain."),
    ] = DefaultChain()
    apps: Annotated[tuple[App, ...], Field(description="The apps; those of `app_files` are added.")] = ()

    def __repr__(self) -> str:
        """Name it alone: the proxy's address can hold a password."""
        return f"Account({self.name!r})"


class Collection(Section):
    """How often and how far the lists are read."""

    interval_seconds: Annotated[
        Duration,
        Field(ge=0.1, description="How often each app is brought up to date.", alias="interval"),
    ] = 10.0
    sweep_interval_seconds: Annotated[
        Duration,
        Field(
            ge=0.1,
            description="How often each app's whole list is read; at least `interval`.",
            alias="sweep_interval",
        ),
    ] = 300.0
    stale_after_seconds: Annotated[
        Duration,
        Field(
            ge=0.2,
            description="When data that could not be renewed is withdrawn; at least 2 x `sweep_interval`.",
            alias="stale_after",
        ),
        DefaultNote("3 x `sweep_interval`"),
    ] = 0.0
    request_timeout_seconds: Annotated[
        Duration,
        Field(
            ge=0.1,
            le=300,
            description="The longest that one request may take, from connecting to the last byte.",
            alias="request_timeout",
        ),
    ] = 10.0
    max_tasks_per_app: Annotated[
        Whole,
        Field(ge=100, le=10_000_000, description="An app with more is not read to the end: `limit_exceeded`."),
    ] = 200_000
    state_file: Annotated[
        FileName | None,
        Field(
            description="Where accepted tasks are kept over a restart; nowhere if left out. Only its owner can read it."
        ),
    ] = None

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
    """Upper bounds of the distributions, rising, without +Inf, which is added.

    Few by default: each bound is a series for each app, region and mode, in eight distributions.
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


class PerTask(Section):
    """Series about single tasks, on `/metrics/tasks`: off unless they are asked for."""

    enabled: Annotated[Switch, Field(description="Whether they are published.")] = False
    max_series: Annotated[
        Whole,
        Field(
            ge=1,
            le=10_000_000,
            description="The most series over all apps. A task has 4 to 16; tasks beyond are left out and counted.",
        ),
    ] = 100_000


class Metrics(Section):
    """What is published, and how finely."""

    per_task: Annotated[PerTask, Field(description="Series about single tasks.")] = PerTask()

    buckets: Annotated[Buckets, Field(description="Upper bounds of the distributions.")] = Buckets()


class Config(Section):
    """The whole configuration."""

    accounts: Annotated[
        tuple[Account, ...],
        Field(json_schema_extra={"minItems": 1}, description="What is read, and with which budget."),
    ]
    collection: Annotated[Collection, Field(description="How often and how far the lists are read.")] = Collection()
    policy: Annotated[Policy, Field(description="Which rules are in force.")] = Policy()
    metrics: Annotated[Metrics, Field(description="What is published, and how finely.")] = Metrics()
