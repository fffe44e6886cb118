"""Configurations, statuses and reports for tests: unremarkable unless a test says otherwise."""

from collections.abc import Iterable
from typing import Any

import msgspec
from hypothesis import strategies as st

from exporter.collector.inventory import Entry
from exporter.collector.status import Status, Sweep
from exporter.config.model import Buckets
from exporter.core.collection_state import State
from exporter.core.task import Audio, Configuration, Encoding, Output, Pane, PaneUsers, Source, Task, Video
from exporter.metrics.aggregates import Aggregates, AppReport
from exporter.metrics.per_task_families import ListedTask
from exporter.rules.findings import PolicyReport, RuleReport
from exporter.rules.rule import Severity

PLAIN = Configuration(
    region="CN-Shanghai",
    mix_mode="mixed",
    idle_timeout_seconds=None,
    outputs=(),
    has_stream_url=False,
    has_multi_stream_url=False,
    has_transcode_params=False,
    source=None,
    encoding=None,
    panes=(),
    pane_users=PaneUsers(),
    background_render_mode=None,
    has_background=False,
    users=0,
    user_streams=(),
    sei=None,
    field_errors=(),
    unknown_values=(),
)

STATUS = Status(
    account="prod",
    app_id="live",
    name="Main stage",
    owner="live-ops",
    quota_single=200,
    quota_mixed=40,
    state=State.OK,
    reason="",
    up=True,
    data_available=True,
    last_update_began=1000.5,
    last_sweep_began=1000.0,
    last_attempt_began=1001.0,
    interval_seconds=10,
    sweep_interval_seconds=300,
    stale_after_seconds=900,
    interval_stretch_ratio=1,
    attempts={("update", State.OK): 3, ("sweep", State.TIMEOUT): 1},
    sweep=Sweep(
        began=1000.0,
        duration_seconds=2.5,
        requests=11,
        repaired_tasks=1,
        duplicate_rows=2,
        rows_without_task_id=3,
        unmoved_changes=4,
    ),
    doubtful_tasks=6,
    repairs=5,
    duplicates_seen=7,
)


def configuration(**changes: Any) -> Configuration:
    """Return a plain mixed task's configuration with some fields changed."""
    return msgspec.structs.replace(PLAIN, **changes)


def encoding(*, audio_only: bool = False, audio: Audio | None = None, **video: Any) -> Encoding:
    """Return EncodeParams with some fields of the video part."""
    return Encoding(audio_only, Video(**video), audio or Audio())


EXPIRY = 1_900_000_000  # of each signed output, in Unix seconds


def push(scheme: str = "rtmp", *, is_ali_cdn: bool | None = None, signer: str = "none") -> Output:
    """Return an output."""
    return Output(scheme, "push.example.org", is_ali_cdn, has_userinfo=False, signer=signer)


def aggregates(*configurations: Configuration, buckets: Buckets | None = None) -> Aggregates:
    """Return the aggregates of some tasks."""
    return aggregates_of(configurations, buckets)


def aggregates_of(configurations: Iterable[Configuration], buckets: Buckets | None = None) -> Aggregates:
    """Return the aggregates of many tasks."""
    built = Aggregates(buckets or Buckets())
    for each in configurations:
        built.add(each, [EXPIRY] * len(each.outputs))
    return built


def report(*configurations: Configuration, status: Status = STATUS) -> AppReport:
    """Return the report of an app with data."""
    return AppReport(status, aggregates(*configurations))


def policy_report(*rules: RuleReport, revision: int = 1) -> PolicyReport:
    """Return what the policy says about an app."""
    return PolicyReport(revision, rules)


TWO_RULES = policy_report(
    RuleReport(
        "video-bitrate-agreed",
        Severity.WARNING,
        evaluated=90,
        not_applicable=7,
        exempted=2,
        unevaluable=1,
        violations=3,
        oldest_violation=1500.5,
        opened=5,
        resolved=4,
        examples=("task-1", "task-9"),
        examples_omitted=1,
    ),
    RuleReport("push-host", Severity.CRITICAL, evaluated=100),
)
"""One rule that some tasks violate, and one that all meet."""


_numbers = st.none() | st.integers(-10, 100_000)

configurations = st.builds(
    configuration,
    region=st.sampled_from([None, "CN-Shanghai", "EMAA-Saudi", "Mars"]),
    mix_mode=st.sampled_from(["single", "mixed", "7"]),
    idle_timeout_seconds=_numbers,
    outputs=st.lists(
        st.builds(push, st.sampled_from(["rtmp", "srt", "http", ""]), is_ali_cdn=st.sampled_from([None, True, False])),
        max_size=3,
    ).map(tuple),
    source=st.none() | st.builds(Source, st.sampled_from(["original", "audio", "x"]), st.sampled_from(["camera", "y"])),
    encoding=st.none()
    | st.builds(
        Encoding,
        st.booleans(),
        st.builds(
            Video,
            codec=st.sampled_from([None, "H.264", "AV1"]),
            profile=st.sampled_from([None, "main", "odd"]),
            preset=st.sampled_from([None, "fast", "odd"]),
            bitrate_kbps=_numbers,
            framerate=st.sampled_from([None, -1, 0, 7, 25, 60]),
            gop=_numbers,
            width=st.sampled_from([None, 0, 480, 1280, 1920]),
            height=st.sampled_from([None, 0, 640, 720, 1080]),
        ),
        st.builds(Audio, _numbers, st.sampled_from([None, 1, 6]), st.sampled_from([None, 48000, 1])),
    ),
    users=st.integers(0, 20),
    field_errors=st.lists(st.sampled_from(["MaxIdleTime", "UserPanes.X", "EncodeParams.VideoWidth"])).map(tuple),
    unknown_values=st.lists(st.sampled_from(["Region", "MixMode"])).map(tuple),
)
"""Configurations of all kinds, many of them odd."""


def listed_task(
    task_id: str = "task-1",
    task_configuration: Configuration = PLAIN,
    *,
    app_id: str = "live",
    channel_id: str = "channel",
    first_seen: float = 1000.5,
    last_changed: float = 2000.0,
) -> ListedTask:
    """Return a task as it is published by itself."""
    task = Task(
        task_id=task_id, channel_id=channel_id, configuration=task_configuration, row_digest=0, digests=bytes(32)
    )
    return ListedTask("prod", app_id, Entry.of(task, first_seen=first_seen, last_changed=last_changed, sent_at=0.0))


FULL_TASK = listed_task(
    "task-1",
    configuration(
        idle_timeout_seconds=60,
        outputs=(push(is_ali_cdn=True), push("srt")),
        encoding=encoding(
            codec="H.264",
            bitrate_kbps=1500,
            framerate=25,
            gop=40,
            width=1280,
            height=720,
            audio=Audio(bitrate_kbps=64, channels=2, sample_rate_hertz=48000),
        ),
        panes=(Pane(0.0, 0.0, 1.0, 1.0, 0, 1, None, has_background_image=False),),
        users=2,
    ),
    channel_id='a "channel"',
)
"""A task with a value for each family about single tasks."""
