"""Every key of the configuration: its type, bounds, default and meaning, declared once.

The loader, the editors' JSON Schema and the reference in `docs/configuration.md` derive from these
declarations. A key in YAML is the field's name, or what `name=` says; a field of the kind `duration` is
written as `30s` and held in seconds; a `Secret` can also stand in the file that the key with `_file` names.
Values that come from `loader.py` or `flags.py` are checked; direct construction checks nothing.
"""

from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct, field

from exporter.config.credentials import Credentials, DefaultChain
from exporter.config.policy_model import Expect, FilePattern, Policy

DEFAULT_ENDPOINT: Final = "https://live.aliyuncs.com"
DEFAULT_REQUESTS_PER_SECOND: Final = 40.0
STALE_AFTER_SWEEPS: Final = 3
LEAST_STALE_AFTER_SWEEPS: Final = 2

AccountName = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$", extra={"expected": "1 to 64 letters, digits or _ . -"}),
]
AppId = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$", extra={"expected": "1 to 64 letters, digits or _ -"}),
]
Bounds = Annotated[tuple[float, ...], Meta(min_length=1, extra={"kind": "bounds"})]
TaskCount = Annotated[int, Meta(ge=0, le=1_000_000_000)]


class Quota(Struct, frozen=True, kw_only=True):
    """How many tasks the vendor allows an app; without a number, or with `none`, it is unknown and not published."""

    single: Annotated[TaskCount | None, Meta(description="Single-stream relay tasks.")] = None
    mixed: Annotated[TaskCount | None, Meta(description="Mixed-stream relay tasks.")] = None


class App(Struct, frozen=True, kw_only=True):
    """One app whose tasks are read."""

    id: Annotated[AppId, Meta(description="The AppId, the label `app_id`.")]
    name: Annotated[str, Meta(max_length=200, description="What people call it.")] = ""
    owner: Annotated[str, Meta(max_length=200, description="Who answers for it.")] = ""
    quota: Annotated[Quota, Meta(description="How many tasks the vendor allows it.")] = Quota()
    expect: Annotated[Expect | None, Meta(description="What is expected of its tasks, without any rule file.")] = None


class Account(Struct, frozen=True, kw_only=True):
    """One access to the service with its budget, and the apps that are read through it."""

    name: Annotated[AccountName, Meta(description="The label `account`.")]
    endpoint: Annotated[
        str,
        Meta(description="The service's address, scheme and host alone.", extra={"kind": "endpoint"}),
    ] = DEFAULT_ENDPOINT
    requests_per_second: Annotated[
        float,
        Meta(
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
        Meta(
            description=(
                "Entries with the same name share one limiter: several RAM users of one cloud account."
                " Entries with the same endpoint and key always do."
            ),
        ),
    ] = None
    proxy: Annotated[
        str | None,
        Meta(
            description="HTTP proxy; if left out, HTTPS_PROXY and NO_PROXY are heeded.",
            extra={"kind": "proxy"},
        ),
    ] = None
    ca_file: Annotated[Path | None, Meta(description="PEM file of authorities to trust beside the system's.")] = None
    app_files: Annotated[
        tuple[FilePattern, ...],
        Meta(description="Files that hold lists of apps, as names or patterns; followed when they change."),
    ] = ()
    credentials: Annotated[
        Credentials,
        Meta(description="Where the access key comes from; if left out, the official default chain."),
    ] = DefaultChain()
    apps: Annotated[tuple[App, ...], Meta(description="The apps; those of `app_files` are added.")] = ()

    def __repr__(self) -> str:
        """Name it alone: the proxy's address can hold a password."""
        return f"Account({self.name!r})"


class Collection(Struct, frozen=True, kw_only=True):
    """How often and how far the lists are read."""

    interval_seconds: Annotated[
        float,
        Meta(ge=0.1, description="How often each app is brought up to date.", extra={"kind": "duration"}),
    ] = field(default=10.0, name="interval")
    sweep_interval_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            description="How often each app's whole list is read; at least `interval`.",
            extra={"kind": "duration"},
        ),
    ] = field(default=300.0, name="sweep_interval")
    stale_after_seconds: Annotated[
        float,
        Meta(
            ge=0.2,
            description="When data that could not be renewed is withdrawn; at least 2 x `sweep_interval`.",
            extra={"kind": "duration", "default": "3 x `sweep_interval`"},
        ),
    ] = field(default=0.0, name="stale_after")
    request_timeout_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=300,
            description="The longest that one request may take, from connecting to the last byte.",
            extra={"kind": "duration"},
        ),
    ] = field(default=10.0, name="request_timeout")
    max_tasks_per_app: Annotated[
        int,
        Meta(ge=100, le=10_000_000, description="An app with more is not read to the end: `limit_exceeded`."),
    ] = 200_000
    state_file: Annotated[
        Path | None,
        Meta(
            description="Where accepted tasks are kept over a restart; nowhere if left out. Only its owner can read it."
        ),
    ] = None

    def __post_init__(self) -> None:
        """Let an unset `stale_after_seconds` follow the sweep interval."""
        if not self.stale_after_seconds:
            msgspec.structs.force_setattr(self, "stale_after_seconds", STALE_AFTER_SWEEPS * self.sweep_interval_seconds)


class Buckets(Struct, frozen=True, kw_only=True):
    """Upper bounds of the distributions, rising, without +Inf, which is added.

    Few by default: each bound is a series for each app, region and mode, in eight distributions.
    """

    video_bitrate_kbps: Annotated[Bounds, Meta(description="Video bitrate, kbit/s.")] = (
        500, 1000, 2000, 3000, 4000, 8000,
    )  # fmt: skip
    audio_bitrate_kbps: Annotated[Bounds, Meta(description="Audio bitrate, kbit/s.")] = (
        64, 128, 256,
    )  # fmt: skip
    video_framerate: Annotated[Bounds, Meta(description="Frames per second.")] = (
        15,
        25,
        30,
        60,
    )
    gop_seconds: Annotated[Bounds, Meta(description="Length of a group of pictures, GOP / framerate.")] = (
        1, 2, 4, 10,
    )  # fmt: skip
    frame_pixels: Annotated[Bounds, Meta(description="Width x height.")] = (
        307_200, 921_600, 2_073_600,
    )  # fmt: skip
    idle_timeout_seconds: Annotated[Bounds, Meta(description="MaxIdleTime, seconds.")] = (
        60, 600, 3600, 86400,
    )  # fmt: skip
    panes: Annotated[Bounds, Meta(description="Panes of the layout.")] = (0, 1, 4, 9)
    users: Annotated[Bounds, Meta(description="Users listed.")] = (1, 4, 16)


class PerTask(Struct, frozen=True, kw_only=True):
    """Series about single tasks, on `/metrics/tasks`: off unless they are asked for."""

    enabled: Annotated[bool, Meta(description="Whether they are published.")] = False
    max_series: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="The most series over all apps. A task has 4 to 16; tasks beyond are left out and counted.",
        ),
    ] = 100_000


class Metrics(Struct, frozen=True, kw_only=True):
    """What is published, and how finely."""

    per_task: Annotated[PerTask, Meta(description="Series about single tasks.")] = PerTask()

    buckets: Annotated[Buckets, Meta(description="Upper bounds of the distributions.")] = Buckets()


class Config(Struct, frozen=True, kw_only=True):
    """The whole configuration."""

    accounts: Annotated[tuple[Account, ...], Meta(min_length=1, description="What is read, and with which budget.")]
    collection: Annotated[Collection, Meta(description="How often and how far the lists are read.")] = Collection()
    policy: Annotated[Policy, Meta(description="Which rules are in force.")] = Policy()
    metrics: Annotated[Metrics, Meta(description="What is published, and how finely.")] = Metrics()
