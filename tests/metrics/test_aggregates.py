"""Running sums over an app's tasks."""

import random
from collections import Counter

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


def _distribution(measure: str, *tasks: Configuration) -> Distribution | None:
    """Return the distribution of plain tasks, None without any."""
    return dict(aggregates(*tasks, buckets=BUCKETS).distributions(measure)).get(WHERE)


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


def test_video_bitrate_is_in_bytes_and_a_bound_belongs_to_its_bucket() -> None:
    """A task at a bound is at or below it; the sum is that of all tasks, bounds and all in bytes per second."""
    tasks = [configuration(encoding=encoding(bitrate_kbps=kbps)) for kbps in (1, 2, 3, None)]
    assert _distribution("video_bitrate", *tasks) == Distribution((125, 250), (1, 2, 3), 750)


def test_audio_bitrate_counts_audio_only_tasks_too() -> None:
    """The field alone decides."""
    task = configuration(encoding=encoding(audio_only=True, audio=Audio(bitrate_kbps=64)))
    assert _distribution("audio_bitrate", task) == Distribution((8000,), (1, 1), 8000)


def test_framerate() -> None:
    """Frames per second as they stand."""
    tasks = [configuration(encoding=encoding(framerate=fps)) for fps in (25, 26, 60)]
    assert _distribution("video_framerate", *tasks) == Distribution((25, 30), (1, 2, 3), 111)


def test_gop_duration_is_gop_by_framerate() -> None:
    """The length needs both numbers, and a framerate above 0."""
    tasks = [configuration(encoding=encoding(gop=gop, framerate=fps)) for gop, fps in ((30, 30), (60, 25), (90, 30))]
    unknown = [
        configuration(encoding=encoding(gop=gop, framerate=fps)) for gop, fps in ((30, None), (None, 30), (30, 0))
    ]
    assert _distribution("gop_duration", *tasks, *unknown) == Distribution((1, 2), (1, 1, 3), 6.4)


def test_gop_durations_do_not_drift() -> None:
    """A length that no decimal number equals comes and goes a thousand times without a trace."""
    third = configuration(encoding=encoding(gop=1, framerate=3))
    drifting = aggregates(third)
    for _ in range(1000):
        drifting.add(third)
        drifting.remove(third)
    assert drifting.same_as(aggregates(third))


def test_frame_pixels_need_both_sides() -> None:
    """Width x height, 0 included."""
    tasks = [
        configuration(encoding=encoding(width=width, height=height))
        for width, height in ((10, 100), (0, 5), (10, None))
    ]
    assert _distribution("frame_pixels", *tasks) == Distribution((1000,), (2, 2), 1000)


def test_idle_timeout_tells_unset_from_unreadable() -> None:
    """Neither is a value, and only unset counts as without a timeout."""
    unset, unreadable = configuration(), configuration(field_errors=("MaxIdleTime",))
    both = aggregates(unset, unreadable, configuration(idle_timeout_seconds=60), buckets=BUCKETS)
    assert dict(both.distributions("idle_timeout")) == {WHERE: Distribution((60,), (1, 1), 60)}
    assert both.counts("without_idle_timeout") == {("CN-Shanghai",): 1}


def test_panes_count_tasks_with_video() -> None:
    """A task without a pane is a value of 0; an audio-only one and one without encoding are none."""
    pane = Pane(0.0, 0.0, 1.0, 1.0, 0, 1, None, has_background_image=False)
    tasks = [
        configuration(encoding=encoding()),
        configuration(encoding=encoding(), panes=(pane, pane)),
        configuration(encoding=encoding(audio_only=True), panes=(pane,)),
        configuration(panes=(pane,)),
    ]
    assert _distribution("panes", *tasks) == Distribution((0, 1), (1, 1, 2), 2)


def test_users_count_listed_users_alone() -> None:
    """No list means every user, which is no number."""
    assert _distribution("users", configuration(users=3), configuration(users=0)) == Distribution((1, 2), (0, 0, 1), 3)


def test_what_can_not_be_read_is_no_number_of_panes_or_users() -> None:
    """An unreadable list is unknown, which is not 0."""
    for field in ("Layout", "UserPanes"):
        assert _distribution("panes", configuration(encoding=encoding(), field_errors=(field,))) is None
    assert _distribution("users", configuration(users=2, field_errors=("UserInfos",))) is None


def test_egress_counts_what_is_readable_for_each_output_of_mixed_tasks() -> None:
    """Video and audio bitrate once for each output; a task with neither has no share."""
    outputs = (push(is_ali_cdn=True), push("srt", is_ali_cdn=True), push())
    both = encoding(bitrate_kbps=1000, audio=Audio(bitrate_kbps=100))
    tasks = [
        configuration(encoding=both, outputs=outputs),
        configuration(encoding=encoding(audio=Audio(bitrate_kbps=8)), outputs=outputs[2:]),
        configuration(encoding=encoding(), outputs=(push(is_ali_cdn=False),)),
        configuration(encoding=both, outputs=outputs, mix_mode="single"),
        configuration(outputs=outputs),
    ]
    assert dict(aggregates(*tasks).egress_bytes_per_second()) == {
        ("CN-Shanghai", "alibaba"): 2 * 1100 * 125,
        ("CN-Shanghai", "unknown"): (1100 + 8) * 125,
    }


def test_an_egress_of_zero_is_there() -> None:
    """A bitrate of 0 is configured, which is not the same as unknown."""
    task = configuration(encoding=encoding(bitrate_kbps=0), outputs=(push(),))
    assert dict(aggregates(task).egress_bytes_per_second()) == {("CN-Shanghai", "unknown"): 0}


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
