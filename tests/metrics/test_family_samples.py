"""One picture for each family: tasks and a status in, the exact lines of the text format out."""

import re

import msgspec

from exporter.collector.task_diff import ChangeCounts
from exporter.config.model import Buckets
from exporter.core.collection_state import State
from exporter.core.task import Audio, Output, Pane, Source
from exporter.metrics import app_families
from exporter.metrics.aggregates import AppReport
from exporter.metrics.exposition import families
from exporter.metrics.family import headers, sections
from tests.metrics.builders import STATUS, TWO_RULES, aggregates, configuration, encoding, policy_report, push, report
from tests.support.subtests import for_each

FAMILIES = {family.name: family for family in families()}

CHANGES = ChangeCounts()
CHANGES.count("added", ())
CHANGES.count("modified", ("video", "audio"))
CHANGES.count("modified", ("video",))

TWO_TASKS = AppReport(
    STATUS,
    aggregates(
        configuration(
            idle_timeout_seconds=60,
            outputs=(push(is_ali_cdn=True, signer="tencent"), push("srt")),
            encoding=encoding(
                codec="H.264",
                profile="main",
                preset="fast",
                bitrate_kbps=1500,
                framerate=25,
                gop=50,
                width=1280,
                height=720,
                audio=Audio(bitrate_kbps=64, channels=2, sample_rate_hertz=48000),
            ),
            panes=(Pane(0.0, 0.0, 1.0, 1.0, 0, 1, None, has_background_image=False),),
            users=2,
            unknown_values=("UserInfos.SourceType",),
        ),
        configuration(
            region="Mars",
            mix_mode="single",
            source=Source("video", "screen"),
            field_errors=("EncodeParams.VideoBitrate", "TaskId"),
            unknown_values=("Region",),
        ),
        buckets=Buckets(
            video_bitrate_kbps=(1000, 2000),
            audio_bitrate_kbps=(64, 500),
            video_framerate=(24, 30),
            gop_seconds=(0.5, 2),
            frame_pixels=(921_600, 2_073_600),
            idle_timeout_seconds=(10, 60),
            panes=(0, 1),
            users=(1, 2),
        ),
    ),
    CHANGES,
    TWO_RULES,
)

PICTURE = """\
rtcmpu_up{A} 1.0
rtcmpu_collection_data_available{A} 1.0
rtcmpu_collection_last_update_timestamp_seconds{A} 1000.5
rtcmpu_collection_last_sweep_timestamp_seconds{A} 1000.0
rtcmpu_collection_last_attempt_timestamp_seconds{A} 1001.0
rtcmpu_collection_interval_seconds{A} 10.0
rtcmpu_collection_sweep_interval_seconds{A} 300.0
rtcmpu_collection_stale_after_seconds{A} 900.0
rtcmpu_collection_interval_stretch_ratio{A} 1.0
rtcmpu_collection_duration_seconds{A} 2.5
rtcmpu_collection_requests{A} 11.0
rtcmpu_collection_repaired_tasks{A} 1.0
rtcmpu_collection_duplicate_rows{A} 2.0
rtcmpu_collection_doubtful_tasks{A} 6.0
rtcmpu_collection_repairs_total{A} 5.0
rtcmpu_collection_duplicates_seen_total{A} 7.0
rtcmpu_collection_unmoved_changes{A} 4.0
rtcmpu_collection_state{A,state="ok"} 1.0
rtcmpu_app_info{A,name="Main stage",owner="live-ops"} 1.0
rtcmpu_task_quota{A,mix_mode="single"} 200.0
rtcmpu_task_quota{A,mix_mode="mixed"} 40.0
rtcmpu_task_changes_total{A,change="added"} 1.0
rtcmpu_task_changes_total{A,change="removed"} 0.0
rtcmpu_task_changes_total{A,change="modified"} 2.0
rtcmpu_tasks{A,task_region="CN-Shanghai",mix_mode="mixed"} 1.0
rtcmpu_tasks{A,task_region="other",mix_mode="single"} 1.0
rtcmpu_task_outputs{A,cdn="alibaba",scheme="rtmp"} 1.0
rtcmpu_task_outputs{A,cdn="unknown",scheme="srt"} 1.0
rtcmpu_task_outputs_by_push_auth{A,signer="tencent",state="valid"} 1.0
rtcmpu_task_outputs_by_push_auth{A,signer="none",state="unsigned"} 1.0
rtcmpu_push_auth_next_expiry_timestamp_seconds{A,signer="tencent"} 1.9e+09
rtcmpu_task_outputs_by_host{A,host="push.example.org"} 2.0
rtcmpu_tasks_by_video{A,codec="H.264",profile="main",preset="fast",resolution="720p"} 1.0
rtcmpu_tasks_by_audio{A,channels="2",sample_rate_hertz="48000",audio_only="false"} 1.0
rtcmpu_tasks_by_source{A,stream_type="video",source_type="screen"} 1.0
rtcmpu_tasks_by_billing_tier{A,tier="single_video"} 1.0
rtcmpu_tasks_by_billing_tier{A,tier="720p"} 1.0
rtcmpu_tasks_without_idle_timeout{A,task_region="other"} 1.0
rtcmpu_task_configured_egress_bytes_per_second{A,task_region="CN-Shanghai",cdn="alibaba"} 195500.0
rtcmpu_task_configured_egress_bytes_per_second{A,task_region="CN-Shanghai",cdn="unknown"} 195500.0
rtcmpu_task_video_bitrate_bytes_per_second_bucket{A,W,le="125000.0"} 0.0
rtcmpu_task_video_bitrate_bytes_per_second_bucket{A,W,le="250000.0"} 1.0
rtcmpu_task_video_bitrate_bytes_per_second_bucket{A,W,le="+Inf"} 1.0
rtcmpu_task_video_bitrate_bytes_per_second_gcount{A,W} 1.0
rtcmpu_task_video_bitrate_bytes_per_second_gsum{A,W} 187500.0
rtcmpu_task_audio_bitrate_bytes_per_second_bucket{A,W,le="8000.0"} 1.0
rtcmpu_task_audio_bitrate_bytes_per_second_bucket{A,W,le="62500.0"} 1.0
rtcmpu_task_audio_bitrate_bytes_per_second_bucket{A,W,le="+Inf"} 1.0
rtcmpu_task_audio_bitrate_bytes_per_second_gcount{A,W} 1.0
rtcmpu_task_audio_bitrate_bytes_per_second_gsum{A,W} 8000.0
rtcmpu_task_video_framerate_hertz_bucket{A,W,le="24.0"} 0.0
rtcmpu_task_video_framerate_hertz_bucket{A,W,le="30.0"} 1.0
rtcmpu_task_video_framerate_hertz_bucket{A,W,le="+Inf"} 1.0
rtcmpu_task_video_framerate_hertz_gcount{A,W} 1.0
rtcmpu_task_video_framerate_hertz_gsum{A,W} 25.0
rtcmpu_task_gop_duration_seconds_bucket{A,W,le="0.5"} 0.0
rtcmpu_task_gop_duration_seconds_bucket{A,W,le="2.0"} 1.0
rtcmpu_task_gop_duration_seconds_bucket{A,W,le="+Inf"} 1.0
rtcmpu_task_gop_duration_seconds_gcount{A,W} 1.0
rtcmpu_task_gop_duration_seconds_gsum{A,W} 2.0
rtcmpu_task_frame_pixels_bucket{A,W,le="921600.0"} 1.0
rtcmpu_task_frame_pixels_bucket{A,W,le="2.0736e+06"} 1.0
rtcmpu_task_frame_pixels_bucket{A,W,le="+Inf"} 1.0
rtcmpu_task_frame_pixels_gcount{A,W} 1.0
rtcmpu_task_frame_pixels_gsum{A,W} 921600.0
rtcmpu_task_idle_timeout_seconds_bucket{A,W,le="10.0"} 0.0
rtcmpu_task_idle_timeout_seconds_bucket{A,W,le="60.0"} 1.0
rtcmpu_task_idle_timeout_seconds_bucket{A,W,le="+Inf"} 1.0
rtcmpu_task_idle_timeout_seconds_gcount{A,W} 1.0
rtcmpu_task_idle_timeout_seconds_gsum{A,W} 60.0
rtcmpu_task_panes_bucket{A,W,le="0.0"} 0.0
rtcmpu_task_panes_bucket{A,W,le="1.0"} 1.0
rtcmpu_task_panes_bucket{A,W,le="+Inf"} 1.0
rtcmpu_task_panes_gcount{A,W} 1.0
rtcmpu_task_panes_gsum{A,W} 1.0
rtcmpu_task_users_bucket{A,W,le="1.0"} 0.0
rtcmpu_task_users_bucket{A,W,le="2.0"} 1.0
rtcmpu_task_users_bucket{A,W,le="+Inf"} 1.0
rtcmpu_task_users_gcount{A,W} 1.0
rtcmpu_task_users_gsum{A,W} 2.0
rtcmpu_policy_violations{A,rule="video-bitrate-agreed",severity="warning"} 3.0
rtcmpu_policy_violations{A,rule="push-host",severity="critical"} 0.0
rtcmpu_policy_evaluated_tasks{A,rule="video-bitrate-agreed"} 90.0
rtcmpu_policy_evaluated_tasks{A,rule="push-host"} 100.0
rtcmpu_policy_not_applicable_tasks{A,rule="video-bitrate-agreed"} 7.0
rtcmpu_policy_exempted_tasks{A,rule="video-bitrate-agreed"} 2.0
rtcmpu_policy_unevaluable_tasks{A,rule="video-bitrate-agreed"} 1.0
rtcmpu_policy_oldest_violation_timestamp_seconds{A,rule="video-bitrate-agreed",severity="warning"} 1500.5
rtcmpu_policy_violations_opened_total{A,rule="video-bitrate-agreed",severity="warning"} 5.0
rtcmpu_policy_violations_opened_total{A,rule="push-host",severity="critical"} 0.0
rtcmpu_policy_violations_resolved_total{A,rule="video-bitrate-agreed",severity="warning"} 4.0
rtcmpu_policy_violations_resolved_total{A,rule="push-host",severity="critical"} 0.0
rtcmpu_policy_violation_example{A,rule="video-bitrate-agreed",severity="warning",task_id="task-1"} 1.0
rtcmpu_policy_violation_example{A,rule="video-bitrate-agreed",severity="warning",task_id="task-9"} 1.0
rtcmpu_policy_violation_examples_omitted{A,rule="video-bitrate-agreed"} 1.0
rtcmpu_collection_attempts_total{A,kind="update",outcome="ok"} 3.0
rtcmpu_collection_attempts_total{A,kind="sweep",outcome="timeout"} 1.0
rtcmpu_task_field_errors{A,field="TaskId"} 4.0
rtcmpu_task_field_errors{A,field="EncodeParams.VideoBitrate"} 1.0
rtcmpu_task_field_changes_total{A,field="video"} 2.0
rtcmpu_task_field_changes_total{A,field="audio"} 1.0
rtcmpu_task_unknown_values{A,field="Region"} 1.0
rtcmpu_task_unknown_values{A,field="UserInfos.SourceType"} 1.0
"""
"""All lines of the families, A standing for the app and W for region and mode of the mixed task; of those in `FILLED`
the lines that are not 0."""

ZERO_FILLED = {
    "rtcmpu_tasks": 12,
    "rtcmpu_task_field_errors": 47,
    "rtcmpu_task_unknown_values": 16,
    "rtcmpu_tasks_by_billing_tier": 7,
    "rtcmpu_tasks_without_idle_timeout": 4,
}
FILLED = ZERO_FILLED | {
    "rtcmpu_collection_state": len(State),
    "rtcmpu_collection_attempts_total": 2 * (len(State) - 1),
    "rtcmpu_task_field_changes_total": 14,
}
"""How many lines a family has that has one for each value of its labels; the first ones also without a task."""

CHANGE_FAMILIES = {family.name for family in app_families.CHANGE_FAMILIES}
TASK_FAMILIES = {name for name in FAMILIES if name.startswith(("rtcmpu_task", "rtcmpu_push_auth"))} - {
    "rtcmpu_task_quota",
    *CHANGE_FAMILIES,
}
POLICY_FAMILIES = {family.name for family in app_families.POLICY_FAMILIES}
POLICY_GAUGES = {family.name for family in app_families.POLICY_FAMILIES if family.kind == "gauge"}

WITHDRAWN = msgspec.structs.replace(STATUS, data_available=False)


def _lines(name: str, about: AppReport) -> list[str]:
    """Return the lines of one family in the text format."""
    rendered = sections(FAMILIES[name], FAMILIES[name].samples(about))
    parts = headers(FAMILIES[name], openmetrics=False)
    return b"".join(rendered[section] for _, section in parts).decode().splitlines()


def _drawn(name: str, picture: str = PICTURE) -> list[str]:
    """Return a family's lines in a picture."""
    app, where = 'account="prod",app_id="live"', 'task_region="CN-Shanghai",mix_mode="mixed"'
    lines = (line for line in picture.splitlines() if re.match(rf"{name}(_bucket|_gcount|_gsum)?{{", line))
    return [line.replace("{A", "{" + app, 1).replace(",W", "," + where, 1) for line in lines]


@for_each(FAMILIES)
def test_picture(name: str) -> None:
    """Each family looks exactly like this."""
    lines = _lines(name, TWO_TASKS)
    if name in FILLED:
        assert len(lines) == FILLED[name]
        lines = [line for line in lines if not line.endswith(" 0.0")]
    assert sorted(lines) == sorted(_drawn(name)) != []
    assert name in FILLED or lines == _drawn(name)


@for_each(sorted(TASK_FAMILIES))
def test_families_about_tasks_are_withdrawn_without_data(name: str) -> None:
    """Unknown is absent: not one series is left."""
    assert _lines(name, AppReport(STATUS, None)) == []


@for_each(sorted(FAMILIES.keys() - TASK_FAMILIES))
def test_families_about_the_collection_never_are(name: str) -> None:
    """They look the same with data and without, as do counters of changes."""
    assert _lines(name, AppReport(STATUS, None, TWO_TASKS.changes, TWO_RULES)) == _lines(name, TWO_TASKS) != []


@for_each(sorted(POLICY_FAMILIES))
def test_gauges_of_the_policy_are_withdrawn_and_its_counters_stay(name: str) -> None:
    """While the data is too old nothing is said of violations, and what was counted is."""
    lines = _lines(name, AppReport(WITHDRAWN, None, CHANGES, TWO_RULES))
    assert lines == ([] if name in POLICY_GAUGES else _drawn(name))


@for_each(sorted(POLICY_FAMILIES))
def test_before_the_first_evaluation_nothing_is_said_of_rules(name: str) -> None:
    """An app that was not evaluated yet, or that no rule applies to, has no series: neither is 0 violations."""
    assert _lines(name, report()) == []
    assert _lines(name, AppReport(STATUS, None, CHANGES, policy_report())) == []


@for_each(sorted(POLICY_FAMILIES))
def test_the_policy_is_rendered_again_only_with_another_report(name: str) -> None:
    """The version tells another report, and for gauges that data was withdrawn; it is blind to all else."""
    version = FAMILIES[name].version
    now = version(TWO_TASKS)
    later = msgspec.structs.replace(STATUS, last_attempt_began=2000.0, up=False)
    assert now is not None
    assert version(msgspec.structs.replace(TWO_TASKS, status=later)) == now
    assert version(msgspec.structs.replace(TWO_TASKS, policy=policy_report(revision=2))) != now
    assert version(msgspec.structs.replace(TWO_TASKS, policy=None)) != now
    assert (version(msgspec.structs.replace(TWO_TASKS, status=WITHDRAWN)) != now) == (name in POLICY_GAUGES)


@for_each(sorted(CHANGE_FAMILIES))
def test_changes_are_counted_from_zero(name: str) -> None:
    """With the first sweep every kind and every group is there at 0, so that the first change is seen as a rise."""
    lines = _lines(name, report())
    assert len(lines) == {"rtcmpu_task_changes_total": 3, "rtcmpu_task_field_changes_total": 14}[name]
    assert all(line.endswith(" 0.0") for line in lines)


def test_only_the_largest_hosts_have_series() -> None:
    """The 20 largest hosts have a series each; smaller ones, and URLs without a host, are `other`."""
    outputs = [
        Output("rtmp", f"{name}.example.org", None, has_userinfo=False)
        for number, name in enumerate("abcdefghijklmnopqrstuvw")
        for _ in range(number + 1)
    ]
    lines = _lines(
        "rtcmpu_task_outputs_by_host", report(configuration(outputs=(*outputs, Output("", "", None, False))))
    )
    assert len(lines) == 21
    assert lines[0].endswith('host="w.example.org"} 23.0')
    assert lines[-1].endswith(f'host="other"}} {1 + 2 + 3 + 1}.0')


@for_each(sorted(TASK_FAMILIES))
def test_an_app_without_tasks_has_zeros_where_they_are_promised(name: str) -> None:
    """After the first snapshot, families with a closed label are there from the start; others wait for a task."""
    empty = report(status=msgspec.structs.replace(STATUS, sweep=None))
    lines = _lines(name, empty)
    assert len(lines) == ZERO_FILLED.get(name, 0)
    assert all(line.endswith(" 0.0") for line in lines)


def test_before_the_first_sweep_nothing_is_said_about_it() -> None:
    """Times and facts that are not known are absent, and the state is the only one that is 1."""
    waiting = msgspec.structs.replace(
        STATUS,
        state=State.PENDING,
        up=False,
        data_available=False,
        last_update_began=None,
        last_sweep_began=None,
        last_attempt_began=None,
        attempts={},
        sweep=None,
    )
    about = AppReport(waiting, None)
    present = {name for name in FAMILIES if _lines(name, about)}
    assert present == {
        "rtcmpu_up",
        "rtcmpu_collection_state",
        "rtcmpu_collection_data_available",
        "rtcmpu_collection_interval_seconds",
        "rtcmpu_collection_sweep_interval_seconds",
        "rtcmpu_collection_stale_after_seconds",
        "rtcmpu_collection_interval_stretch_ratio",
        "rtcmpu_collection_attempts_total",
        "rtcmpu_collection_repairs_total",
        "rtcmpu_collection_duplicates_seen_total",
        "rtcmpu_app_info",
        "rtcmpu_task_quota",
    }
    assert _lines("rtcmpu_up", about) == _drawn("rtcmpu_up", "rtcmpu_up{A} 0.0")
    ones = [line for line in _lines("rtcmpu_collection_state", about) if line.endswith(" 1.0")]
    assert ones == _drawn("rtcmpu_collection_state", 'rtcmpu_collection_state{A,state="pending"} 1.0')


def test_a_quota_of_none_is_absent() -> None:
    """What is not configured is no number."""
    unlimited = msgspec.structs.replace(STATUS, quota_single=None, quota_mixed=0)
    assert _lines("rtcmpu_task_quota", report(status=unlimited)) == _drawn(
        "rtcmpu_task_quota", 'rtcmpu_task_quota{A,mix_mode="mixed"} 0.0'
    )
