"""What each family says: tasks and a status in, the exact lines of the text format out."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from exporter.collector.task_diff import ChangeCounts
from exporter.config.model import Buckets
from exporter.core.collection_state import State
from exporter.core.task import Audio, Output, Pane, Source
from exporter.metrics.aggregates import AppReport
from exporter.metrics.app_families import CHANGE_FAMILIES, POLICY_FAMILIES, AppFamily
from exporter.metrics.exposition import families
from exporter.metrics.family import headers, sections
from tests.metrics.builders import STATUS, TWO_RULES, aggregates, configuration, encoding, policy_report, push, report
from tests.support.subtests import for_each

FAMILIES = {family.name: family for family in families()}
GOLDEN = Path(__file__).with_name("samples.txt").read_text("utf-8").splitlines()

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

GAUGES = [family for family in POLICY_FAMILIES if family.kind == "gauge"]
COUNTERS = [family for family in POLICY_FAMILIES if family.kind == "counter"]
WITHDRAWN = msgspec.structs.replace(STATUS, data_available=False)


def _lines(about: AppReport, of: Iterable[AppFamily] = FAMILIES.values()) -> list[str]:
    """Return the lines of families in the text format."""
    lines: list[str] = []
    for family in of:
        rendered = sections(family, family.samples(about))
        for _, section in headers(family, openmetrics=False):
            lines += rendered[section].decode().splitlines()
    return lines


def _golden(of: Iterable[AppFamily]) -> list[str]:
    """Return the lines of `samples.txt` that families have."""
    names = {family.name for family in of}
    return [line for line in GOLDEN if names & {_name(line), _name(line).rpartition("_")[0]}]


def _name(line: str) -> str:
    return line.partition("{")[0]


def test_each_family_says_exactly_this() -> None:
    """The lines of a report are those of `samples.txt`, and each family has some."""
    assert _lines(TWO_TASKS) == GOLDEN
    assert all(_golden([family]) for family in FAMILIES.values())


def _about_tasks(names: Iterable[str]) -> set[str]:
    others = {"rtcmpu_task_quota", *(family.name for family in CHANGE_FAMILIES)}
    return {name for name in names if name.startswith(("rtcmpu_task", "rtcmpu_push_auth"))} - others


def test_families_about_tasks_are_withdrawn_without_data() -> None:
    """Unknown is absent: of tasks not one series is left; the collection and what was counted look the same."""
    about_tasks = _about_tasks(map(_name, GOLDEN))
    without_data = AppReport(STATUS, None, CHANGES, TWO_RULES)
    assert _lines(without_data) == [line for line in GOLDEN if _name(line) not in about_tasks]


def test_gauges_of_the_policy_are_withdrawn_and_its_counters_stay() -> None:
    """While the data is too old nothing is said of violations, and what was counted is."""
    withdrawn = AppReport(WITHDRAWN, None, CHANGES, TWO_RULES)
    assert _lines(withdrawn, POLICY_FAMILIES) == _golden(COUNTERS)


def test_before_the_first_evaluation_nothing_is_said_of_rules() -> None:
    """An app that was not evaluated yet, or that no rule applies to, has no series: neither is 0 violations."""
    assert _lines(report(), POLICY_FAMILIES) == []
    assert _lines(AppReport(STATUS, None, CHANGES, policy_report()), POLICY_FAMILIES) == []


@for_each(POLICY_FAMILIES, name=lambda family: family.name)
def test_the_policy_is_rendered_again_only_with_another_report(family: AppFamily) -> None:
    """The version tells another report, and for gauges that data was withdrawn; it is blind to all else."""
    now = family.version(TWO_TASKS)
    later = msgspec.structs.replace(STATUS, last_attempt_began=2000.0, up=False)
    assert now is not None
    assert family.version(msgspec.structs.replace(TWO_TASKS, status=later)) == now
    assert family.version(msgspec.structs.replace(TWO_TASKS, policy=policy_report(revision=2))) != now
    assert family.version(msgspec.structs.replace(TWO_TASKS, policy=None)) != now
    withdrawn = family.version(msgspec.structs.replace(TWO_TASKS, status=WITHDRAWN))
    assert (withdrawn != now) == (family in GAUGES)


def test_changes_are_counted_from_zero() -> None:
    """With the first sweep every kind and every group is there at 0, so that the first change is seen as a rise."""
    series = [line.rpartition(" ")[0] for line in _golden(CHANGE_FAMILIES)]
    assert _lines(report(), CHANGE_FAMILIES) == [f"{each} 0.0" for each in series]


def test_an_app_without_tasks_has_zeros_where_they_are_promised() -> None:
    """After the first snapshot, families with a closed label are there from the start; others wait for a task."""
    zero_filled = {
        "rtcmpu_tasks",
        "rtcmpu_task_field_errors",
        "rtcmpu_task_unknown_values",
        "rtcmpu_tasks_by_billing_tier",
        "rtcmpu_tasks_without_idle_timeout",
    }
    about_tasks = [family for name, family in FAMILIES.items() if name in _about_tasks(FAMILIES)]
    series = [line.rpartition(" ")[0] for line in GOLDEN if _name(line) in zero_filled]
    empty = report(status=msgspec.structs.replace(STATUS, sweep=None))
    assert _lines(empty, about_tasks) == [f"{each} 0.0" for each in series]


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
    lines = _lines(AppReport(waiting, None))
    assert {_name(line) for line in lines} == {
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
    app = 'account="prod",app_id="live"'
    assert f"rtcmpu_up{{{app}}} 0.0" in lines
    ones = [line for line in lines if _name(line) == "rtcmpu_collection_state" and line.endswith(" 1.0")]
    assert ones == [f'rtcmpu_collection_state{{{app},state="pending"}} 1.0']


def test_only_the_largest_hosts_have_series() -> None:
    """The 20 largest hosts have a series each; smaller ones, and URLs without a host, are `other`."""
    outputs = [
        Output("rtmp", f"{name}.example.org", None, has_userinfo=False)
        for number, name in enumerate("abcdefghijklmnopqrstuvw")
        for _ in range(number + 1)
    ]
    everywhere = report(configuration(outputs=(*outputs, Output("", "", None, False))))
    lines = _lines(everywhere, [FAMILIES["rtcmpu_task_outputs_by_host"]])
    assert len(lines) == 21
    assert lines[0].endswith('host="w.example.org"} 23.0')
    assert lines[-1].endswith(f'host="other"}} {1 + 2 + 3 + 1}.0')


def test_a_quota_of_none_is_absent() -> None:
    """What is not configured is no number."""
    unlimited = msgspec.structs.replace(STATUS, quota_single=None, quota_mixed=0)
    (line,) = _lines(report(status=unlimited), [FAMILIES["rtcmpu_task_quota"]])
    assert line.endswith('mix_mode="mixed"} 0.0')
