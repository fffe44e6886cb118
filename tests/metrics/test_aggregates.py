"""Running sums over an app's tasks."""

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.model import Buckets
from exporter.core.push_auth import MALFORMED, NEVER, NO_TIME, TIME_BYTES, Expiry, HostSetting, PushAuthSettings
from exporter.core.task import Audio, Configuration, Output, Pane, signed_times
from exporter.metrics.aggregates import COUNTS, MEASURES, PushAuthCounts
from exporter.metrics.family import Distribution
from tests.metrics.builders import EXPIRY, aggregates, aggregates_of, configuration, configurations, encoding, push

WHERE = ("CN-Shanghai", "mixed")
_SHARED = [configuration(users=2, outputs=(push(signer="tencent"), push())), configuration(encoding=encoding(gop=1))]
_TIMES = [(EXPIRY + number).to_bytes(TIME_BYTES, "big") for number in range(3)]


@given(st.lists(configurations, max_size=12), st.lists(configurations, max_size=12), st.randoms(use_true_random=False))
def test_any_way_to_the_same_tasks_gives_the_same_sums(
    kept: list[Configuration], gone: list[Configuration], rng: random.Random
) -> None:
    """Adding and removing in any order equals a rebuild from what is left, to the last digit."""
    steps = [(each, True) for each in kept] + [(each, False) for each in gone]
    rng.shuffle(steps)
    running, to_remove = aggregates(), []
    for each, stays in steps:
        running.add(each)
        if not stays:
            to_remove.append(each)
        if to_remove and rng.random() < 0.5:
            running.remove(to_remove.pop(rng.randrange(len(to_remove))))
    for each in to_remove:
        running.remove(each)
    assert running.same_as(aggregates_of(kept))


@given(st.lists(st.tuples(st.sampled_from(_SHARED) | configurations, st.sampled_from([b"", bytes(4), *_TIMES]))))
def test_tasks_counted_together_are_those_counted_one_by_one(parts: list[tuple[Configuration, bytes]]) -> None:
    """A rebuild adds each configuration once, and its sums are those of adding every task."""
    together, one_by_one = aggregates(), aggregates()
    together.add_all(parts)
    for each, push_times in parts:
        one_by_one.add(each, signed_times(push_times))
    assert together.same_as(one_by_one)
    assert together.push_auth.states() == one_by_one.push_auth.states()
    assert dict(together.push_auth.next_expiries()) == dict(one_by_one.push_auth.next_expiries())


@given(st.lists(configurations, min_size=1, max_size=5))
def test_one_task_more_is_not_the_same(tasks: list[Configuration]) -> None:
    """The comparison notices a single missing task."""
    assert not aggregates_of(tasks[1:]).same_as(aggregates_of(tasks))


def test_nothing_is_left_when_all_tasks_are_gone() -> None:
    """Label values without a task disappear."""
    task = configuration(encoding=encoding(bitrate_kbps=8, gop=60, framerate=30), outputs=(push(),), users=2)
    emptied = aggregates(task)
    emptied.remove(task)
    assert emptied.same_as(aggregates())
    assert not any(emptied.counts(name) for name in COUNTS)
    assert not any(list(emptied.distributions(measure.name)) for measure in MEASURES)
    assert not list(emptied.egress_bytes_per_second())


def test_revision_changes_with_each_change() -> None:
    """Anyone who remembers a revision can tell whether the sums may have changed."""
    changing = aggregates()
    seen = {changing.revision}
    changing.add(configuration())
    seen.add(changing.revision)
    changing.remove(configuration())
    seen.add(changing.revision)
    assert len(seen) == 3


BUCKETS = Buckets(
    video_bitrate_kbps=(1, 2),
    audio_bitrate_kbps=(64,),
    video_framerate=(25, 30),
    gop_seconds=(1, 2),
    frame_pixels=(1000,),
    idle_timeout_seconds=(60,),
    panes=(0, 1),
    users=(1, 2),
)


PANE = Pane(0.0, 0.0, 1.0, 1.0, 0, 1, None, has_background_image=False)
BITRATES = [encoding(bitrate_kbps=kbps) for kbps in (1, 2, 3, None)]
SOUND = [encoding(audio_only=True, audio=Audio(bitrate_kbps=64))]
GOPS = [
    encoding(gop=gop, framerate=fps) for gop, fps in ((30, 30), (60, 25), (90, 30), (30, None), (None, 30), (30, 0))
]
SIZES = [encoding(width=width, height=height) for width, height in ((10, 100), (0, 5), (10, None))]


@pytest.mark.parametrize(
    ("measure", "tasks", "expected"),
    [
        ("video_bitrate", [{"encoding": each} for each in BITRATES], Distribution((125, 250), (1, 2, 3), 750)),
        ("audio_bitrate", [{"encoding": each} for each in SOUND], Distribution((8000,), (1, 1), 8000)),
        (
            "video_framerate",
            [{"encoding": encoding(framerate=fps)} for fps in (25, 26, 60)],
            Distribution((25, 30), (1, 2, 3), 111),
        ),
        ("gop_duration", [{"encoding": each} for each in GOPS], Distribution((1, 2), (1, 1, 3), 6.4)),
        ("frame_pixels", [{"encoding": each} for each in SIZES], Distribution((1000,), (2, 2), 1000)),
        (
            "panes",
            [
                {"encoding": encoding()},
                {"encoding": encoding(), "panes": (PANE, PANE)},
                {"encoding": SOUND[0], "panes": (PANE,)},
                {"panes": (PANE,)},
            ],
            Distribution((0, 1), (1, 1, 2), 2),
        ),
        ("panes", [{"encoding": encoding(), "field_errors": ("Layout",)}], None),
        ("panes", [{"encoding": encoding(), "field_errors": ("UserPanes",)}], None),
        ("users", [{"users": 3}, {"users": 0}], Distribution((1, 2), (0, 0, 1), 3)),
        ("users", [{"users": 2, "field_errors": ("UserInfos",)}], None),
    ],
)
def test_a_distribution_has_what_is_a_readable_number(
    measure: str, tasks: list[dict[str, Any]], expected: Distribution | None
) -> None:
    """A value at a bound is at or below it; bounds and sums are in base units.

    A length of pictures needs a framerate above 0, and a size both sides. Without panes there are 0, without users no
    number: that means every user.
    """
    counted = aggregates(*(configuration(**task) for task in tasks), buckets=BUCKETS)
    assert dict(counted.distributions(measure)).get(WHERE) == expected


def test_gop_durations_do_not_drift() -> None:
    """A length that no decimal number equals comes and goes a thousand times without a trace."""
    third = configuration(encoding=encoding(gop=1, framerate=3))
    drifting = aggregates(third)
    for _ in range(1000):
        drifting.add(third)
        drifting.remove(third)
    assert drifting.same_as(aggregates(third))


def test_idle_timeout_tells_unset_from_unreadable() -> None:
    """Neither is a value, and only unset counts as without a timeout."""
    unset, unreadable = configuration(), configuration(field_errors=("MaxIdleTime",))
    both = aggregates(unset, unreadable, configuration(idle_timeout_seconds=60), buckets=BUCKETS)
    assert dict(both.distributions("idle_timeout")) == {WHERE: Distribution((60,), (1, 1), 60)}
    assert both.counts("without_idle_timeout") == {("CN-Shanghai",): 1}


def test_egress_counts_what_is_readable_for_each_output_of_mixed_tasks() -> None:
    """Video and audio bitrate once for each output; a task with neither has no share, one with 0 has."""
    outputs = (push(is_ali_cdn=True), push("srt", is_ali_cdn=True), push())
    both = encoding(bitrate_kbps=1000, audio=Audio(bitrate_kbps=100))
    tasks = [
        configuration(encoding=both, outputs=outputs),
        configuration(encoding=encoding(audio=Audio(bitrate_kbps=8)), outputs=outputs[2:]),
        configuration(encoding=encoding(), outputs=(push(is_ali_cdn=False),)),
        configuration(encoding=both, outputs=outputs, mix_mode="single"),
        configuration(outputs=outputs),
        configuration(region="Mars", encoding=encoding(bitrate_kbps=0), outputs=outputs[2:]),
    ]
    assert dict(aggregates(*tasks).egress_bytes_per_second()) == {
        ("CN-Shanghai", "alibaba"): 2 * 1100 * 125,
        ("CN-Shanghai", "unknown"): (1100 + 8) * 125,
        ("other", "unknown"): 0,
    }


def test_outputs_and_odd_values_are_counted_one_by_one() -> None:
    """A task counts as often as it has outputs, errors and unknown values."""
    odd = configuration(
        outputs=(push(), push(), push("srt")), field_errors=("UserPanes.X", "UserPanes.X"), unknown_values=("Region",)
    )
    counted = aggregates(odd)
    assert counted.counts("outputs") == {("unknown", "rtmp"): 2, ("unknown", "srt"): 1}
    assert counted.counts("field_errors") == {("UserPanes.X",): 2}
    assert counted.counts("unknown_values") == {("Region",): 1}


def test_numbers_below_zero_measure_nothing() -> None:
    """They are left out of distributions and egress: no sum is ever negative."""
    negative = encoding(bitrate_kbps=-1, framerate=-25, gop=-50, width=-10, height=-10, audio=Audio(bitrate_kbps=-64))
    negative_gop = encoding(gop=-50, framerate=25)
    odd = aggregates(
        configuration(encoding=negative, idle_timeout_seconds=-1, outputs=(push(),)),
        configuration(encoding=negative_gop),
    )
    measured = {measure.name for measure in MEASURES if list(odd.distributions(measure.name))}
    assert measured == {"panes", "video_framerate"}
    assert dict(odd.distributions("video_framerate"))[WHERE].total == 25
    assert not list(odd.egress_bytes_per_second())


T = 1_800_000_000
SETTINGS = PushAuthSettings((HostSetting("a.*", 5, None),), 10)
OUTPUTS = st.builds(
    lambda host, signer: Output("rtmp", host, None, has_userinfo=False, signer=signer),
    st.sampled_from(["a.example.com", "b.example.com"]),
    st.sampled_from(["none", "alibaba", "tencent"]),
)
TIMES = st.sampled_from([NO_TIME, MALFORMED, NEVER]) | st.integers(T, T + 30)
TASKS = st.lists(st.tuples(OUTPUTS, TIMES), max_size=3)
STEPS = st.lists(TASKS | st.integers(-5, 20), max_size=20)


@given(STEPS)
def test_counts_are_those_of_all_tasks_at_any_time(steps: list[list[tuple[Output, int]] | int]) -> None:
    """However tasks come and go and the clock runs or jumps, counts and earliest expiries are those of all tasks."""
    now, tasks = float(T), list[list[tuple[Output, int]]]()
    counts = PushAuthCounts(SETTINGS, now)
    for step in steps:
        if isinstance(step, int):
            now += step
            before = dict(counts.states())
            assert counts.advance(now) or before == counts.states()
        elif len(tasks) > 2:
            _apply(counts, tasks.pop(0), -1)
        else:
            tasks.append(step)
            _apply(counts, step, 1)
        expiries = [SETTINGS.expiry(output.signer, output.host, time) for task in tasks for output, time in task]
        assert counts.states() == Counter((expiry.signer, SETTINGS.state(expiry, now)) for expiry in expiries)
        ahead = [expiry for expiry in expiries if not expiry.state and expiry.at > now]
        assert dict(counts.next_expiries()) == {
            (signer,): min(each.at for each in ahead if each.signer == signer)
            for signer in {each.signer for each in ahead}
        }


def test_time_costs_what_expires() -> None:
    """Among 5,000 keys of which one expires, only its state is looked at."""
    looks: list[Expiry] = []

    class Counted(PushAuthSettings, frozen=True):
        def state(self, expiry: Expiry, now: float) -> str:
            looks.append(expiry)
            return super().state(expiry, now)

    counts = PushAuthCounts(Counted(warning_seconds=10), T)
    output = Output("rtmp", "b.example.com", None, has_userinfo=False, signer="tencent")
    for number in range(5000):
        counts.apply([output], [T + 100 + number], 1)
    looks.clear()
    assert counts.advance(T + 90)
    assert set(looks) == {Expiry("tencent", "", T + 100)}
    assert counts.states() == {("tencent", "expiring"): 1, ("tencent", "valid"): 4999}


def _apply(counts: PushAuthCounts, task: list[tuple[Output, int]], sign: int) -> None:
    counts.apply([output for output, _ in task], [time for _, time in task], sign)
