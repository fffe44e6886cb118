"""Running sums over an app's tasks."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from exporter.core.push_auth import MALFORMED, NEVER, NO_TIME, TIME_BYTES, Expiry, HostSetting, PushAuthSettings
from exporter.core.task import Audio, Configuration, Output, signed_times
from exporter.metrics.aggregates import MEASURES, PushAuthCounts
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


def test_revision_changes_with_each_change() -> None:
    """Anyone who remembers a revision can tell whether the sums may have changed."""
    changing = aggregates()
    seen = {changing.revision}
    changing.add(configuration())
    seen.add(changing.revision)
    changing.remove(configuration())
    seen.add(changing.revision)
    assert len(seen) == 3


def test_gop_durations_do_not_drift() -> None:
    """A length that no decimal number equals is as it was after one that is a billion times as long came and went."""
    third, years = (configuration(encoding=encoding(gop=gop, framerate=3)) for gop in (1, 10**9))
    drifting = aggregates(third)
    drifting.add(years)
    drifting.remove(years)
    assert drifting.same_as(aggregates(third))


def test_a_bitrate_of_0_has_a_share_in_the_egress() -> None:
    """It is a readable number, unlike one that is absent."""
    found = [
        dict(
            aggregates(configuration(encoding=encoding(bitrate_kbps=kbps), outputs=(push(),))).egress_bytes_per_second()
        )
        for kbps in (None, 0)
    ]
    assert found == [{}, {("CN-Shanghai", "unknown"): 0}]


def test_numbers_below_zero_measure_nothing() -> None:
    """They are left out of distributions and egress: no sum is ever negative."""
    negative = encoding(bitrate_kbps=-1, framerate=-25, gop=-50, width=-10, height=-10, audio=Audio(bitrate_kbps=-64))
    negative_gop = encoding(gop=-50, framerate=25)
    odd = aggregates(
        configuration(encoding=negative, idle_timeout_seconds=-1, outputs=(push(),)),
        configuration(encoding=negative_gop),
    )
    measured = {measure.name for measure in MEASURES if list(odd.distributions(measure.name))}
    assert measured == {"panes", "video_framerate_hertz"}
    assert dict(odd.distributions("video_framerate_hertz"))[WHERE].total == 25
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
