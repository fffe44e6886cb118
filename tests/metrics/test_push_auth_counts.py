"""Outputs are counted by the state of their push keys, which changes as time passes."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from exporter.core.push_auth import MALFORMED, NEVER, NO_TIME, Expiry, HostSetting, PushAuthSettings
from exporter.core.task import Output
from exporter.metrics.aggregates import PushAuthCounts

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
