"""The forecast of a budget, the stretch of the intervals, and which accounts share one limiter."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collector.reading import FIRST_OVERLAP, window_after
from exporter.config.capacity import GroupLoad, assumed_tasks, forecast, limiter_groups, pace_of, pages_of
from exporter.config.model import (
    AccessKey,
    Account,
    App,
    Collection,
    Config,
    Credentials,
    DefaultChain,
    EcsRamRole,
    Quota,
)
from exporter.core.secret import Secret


def pace(apps: int, pages: int, rate: float, interval: float = 10, sweep_interval: float = 300) -> GroupLoad:
    """Return a pace with stale_after at three sweep intervals."""
    return pace_of(
        apps=apps,
        sweep_requests=pages,
        requests_per_second=rate,
        collection=Collection(interval_seconds=interval, sweep_interval_seconds=sweep_interval),
    )


@pytest.mark.parametrize("tasks", [99, 100, 240, 1000, 2000, 20_000, 100_000])
def test_pages_are_forecast_as_they_are_read(tasks: int) -> None:
    """The forecast knows how far pages overlap: it is within a page or two hundredths of what a sweep reads."""
    reached = pages = 0
    while reached <= tasks:
        reached = window_after(reached, overlap=FIRST_OVERLAP).end
        pages += 1
    assert pages_of(tasks) == pytest.approx(pages, abs=1, rel=0.02)


@pytest.mark.parametrize(("tasks", "pages"), [(0, 1), (99, 1), (100, 2), (101, 2), (20_000, 236)])
def test_the_short_page_is_read_too(tasks: int, pages: int) -> None:
    """A list ends with a page that is not full, even if it is empty."""
    assert pages_of(tasks) == pages


def test_a_budget_that_suffices_stretches_nothing() -> None:
    """Within nine tenths of the budget the configured intervals are kept."""
    result = pace(apps=100, pages=300, rate=40)
    assert (result.update_requests_per_second, result.sweep_requests_per_second) == (10, 1)
    assert (result.use_ratio, result.stretch_ratio) == (0.275, 1)
    assert (result.interval_seconds, result.sweep_interval_seconds, result.stale_after_seconds) == (10, 300, 900)
    assert result.sweep_duration_seconds == pytest.approx(300 / 26)


def test_a_budget_that_does_not_suffice_stretches_both_intervals_alike() -> None:
    """Needing twice what is usable doubles both intervals, and data becomes stale later."""
    result = pace(apps=150, pages=900, rate=10)
    assert result.stretch_ratio == 2
    assert (result.interval_seconds, result.sweep_interval_seconds) == (20, 600)
    assert result.stale_after_seconds == 1200
    assert result.sweep_duration_seconds == pytest.approx(600)


def test_no_apps_need_nothing() -> None:
    """An account whose files of apps are still to come has a forecast too."""
    result = pace(apps=0, pages=0, rate=10)
    assert (result.use_ratio, result.stretch_ratio, result.sweep_duration_seconds) == (0, 1, 0)


@given(
    apps=st.integers(1, 5000),
    more_pages=st.integers(0, 100_000),
    rate=st.floats(0.1, 50),
    interval=st.floats(0.1, 600),
    sweeps=st.floats(1, 100),
)
def test_the_effective_pace_never_exceeds_the_usable_budget(
    apps: int, more_pages: int, rate: float, interval: float, sweeps: float
) -> None:
    """What is left after stretching fits into nine tenths, evenly, and never reads faster than configured."""
    result = pace(apps, apps + more_pages, rate, interval, interval * sweeps)
    used = apps / result.interval_seconds + (apps + more_pages) / result.sweep_interval_seconds
    assert used <= 0.9 * rate * (1 + 1e-9)
    assert result.stretch_ratio >= 1
    assert result.sweep_interval_seconds / result.interval_seconds == pytest.approx(sweeps)
    assert result.stale_after_seconds >= 2 * result.sweep_interval_seconds
    assert result.sweep_duration_seconds <= result.sweep_interval_seconds * (1 + 1e-6)


def test_without_knowledge_an_app_is_at_its_quota() -> None:
    """The configured quota is assumed, at least the vendor's usual one where a mode's is unknown."""
    assert assumed_tasks(App(id="a")) == 240
    assert assumed_tasks(App(id="a", quota=Quota(single=500))) == 500
    assert assumed_tasks(App(id="a", quota=Quota(single=20, mixed=5))) == 25


def test_accounts_of_one_limiter_are_forecast_together() -> None:
    """Apps of accounts that share a limiter share its budget; known numbers of tasks are used."""
    config = Config(
        accounts=(
            Account(name="one", apps=(App(id="a"), App(id="b"))),
            Account(name="two", apps=(App(id="a"),)),
            Account(name="far", endpoint="https://elsewhere", apps=(App(id="a"),), requests_per_second=5),
        ),
        collection=Collection(interval_seconds=1),
    )
    shared, far = forecast(config, {("one", "b"): 20_000, ("far", "a"): 50})
    assert (shared.accounts, shared.apps, shared.tasks) == (("one", "two"), 3, 20_480)
    assert (shared.pages, shared.requests_per_second) == (3 + 236 + 3, 40)
    assert shared.pace.update_requests_per_second == 3
    assert (far.accounts, far.tasks, far.pages, far.requests_per_second) == (("far",), 50, 1, 5)


def key(access_key_id: str, text: str = "s") -> AccessKey:
    """Make an access key."""
    return AccessKey(access_key_id=access_key_id, access_key_secret=Secret(text))


def account(name: str, credentials: Credentials, group: str | None = None, endpoint: str = "https://e") -> Account:
    """Make an account."""
    return Account(name=name, credentials=credentials, limit_group=group, endpoint=endpoint)


@pytest.mark.parametrize(
    ("accounts", "groups"),
    [
        ([account("b", key("1")), account("a", key("2")), account("c", EcsRamRole())], ["b", "a", "c"]),
        (
            [account("a", key("1")), account("b", key("1", "t")), account("c", key("1"), endpoint="https://f")],
            ["a b", "c"],
        ),
        ([account("a", DefaultChain()), account("b", key("1")), account("c", DefaultChain())], ["a c", "b"]),
        (
            [
                account("a", key("1")),
                account("b", key("2"), "g"),
                account("c", key("3")),
                account("d", key("1"), "g"),
                account("e", key("2")),
            ],
            ["a b d e", "c"],
        ),
    ],
)
def test_endpoint_and_key_or_a_group_share_a_limiter(accounts: Sequence[Account], groups: list[str]) -> None:
    """One key is one budget, whatever secret is beside it; a group joins keys, and all that share one with any of them.

    Groups and their members are in the order of the accounts.
    """
    assert [" ".join(member.name for member in group) for group in limiter_groups(accounts)] == groups
