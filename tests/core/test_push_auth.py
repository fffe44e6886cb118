"""What the time in a push URL means is a matter of its signer and of settings by host."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.core.clock import Deadlines
from exporter.core.push_auth import DEFAULTS, MALFORMED, NEVER, NO_TIME, Expiry, HostSetting, PushAuthSettings

T = 1_800_000_000
SETTINGS = PushAuthSettings(
    (
        HostSetting("*.huawei.example", 600, "huawei"),
        HostSetting("push.example.com", 1800, "alibaba"),
        HostSetting("*.example.com", 60, None),
    ),
    3600,
)


@pytest.mark.parametrize(
    ("signer", "host", "time", "expected"),
    [
        ("none", "push.example.com", NO_TIME, Expiry("none", "unsigned", 0)),
        ("alibaba", "push.example.com", T, Expiry("alibaba", "", T + 1800)),
        ("alibaba", "other.example.com", T, Expiry("alibaba", "", T + 60)),
        ("alibaba", "example.org", T, Expiry("alibaba", "unreadable", 0)),
        ("alibaba", "a.huawei.example", T, Expiry("huawei", "", T + 600)),
        ("tencent", "a.huawei.example", T, Expiry("huawei", "", T + 600)),
        ("tencent", "push.example.com", T, Expiry("tencent", "", T)),
        ("tencent", "example.org", T, Expiry("tencent", "", T)),
        ("huawei", "a.huawei.example", T, Expiry("huawei", "", T + 600)),
        ("huawei", "example.org", T, Expiry("huawei", "unreadable", 0)),
        ("huawei", "a.huawei.example", NO_TIME, Expiry("huawei", "unreadable", 0)),
        ("qiniu", "a.huawei.example", T, Expiry("qiniu", "", T)),
        ("wowza", "example.org", NEVER, Expiry("wowza", "valid", 0)),
        ("tencent", "example.org", MALFORMED, Expiry("tencent", "malformed", 0)),
        ("alibaba", "example.org", MALFORMED, Expiry("alibaba", "malformed", 0)),
    ],
)
def test_a_setting_by_host_decides_the_signer_and_the_validity(
    signer: str, host: str, time: int, expected: Expiry
) -> None:
    """Only Alibaba's and Huawei's URLs need a validity, and only forms that vendors share change their signer."""
    assert SETTINGS.expiry(signer, host, time) == expected


@pytest.mark.parametrize(
    ("now", "state", "change"),
    [(T - 86401, "valid", T - 86400), (T - 86400, "expiring", T), (T - 1, "expiring", T), (T, "expired", None)],
)
def test_states_change_at_the_warning_and_at_the_expiry(now: int, state: str, change: int | None) -> None:
    """A key is expired from the second of its expiry on."""
    expiry = DEFAULTS.expiry("tencent", "example.org", T)
    assert (DEFAULTS.state(expiry, now), DEFAULTS.next_change(expiry, now)) == (state, change)


@given(st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 50)) | st.integers(0, 60), max_size=300))
def test_deadlines_are_due_in_their_order(steps: list[tuple[int, int | None] | int]) -> None:
    """Each key is due once, at the last moment that was set, whatever was set before."""
    deadlines: Deadlines[int] = Deadlines()
    plain: dict[int, int] = {}
    for step in steps:
        if isinstance(step, tuple):
            key, moment = step
            deadlines.set(key, moment)
            plain.pop(key, None)
            if moment is not None:
                plain[key] = moment
        else:
            due = sorted((moment, key) for key, moment in plain.items() if moment <= step)
            assert list(deadlines.take_due(step)) == [key for _, key in due]
            for _, key in due:
                del plain[key]
        assert deadlines.first() == min(plain.values(), default=None)
        assert len(deadlines) == len(plain)
