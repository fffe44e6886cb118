"""Laws of the plan that says which exporter holds which budget."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from exporter.storage.lease_plan import lease_plan, own_end

EXPORTERS = st.sets(st.sampled_from("ABCDEFG"), min_size=1)
BUDGETS = st.sets(st.integers(0, 30).map(str), min_size=1)
HOLDERS = st.dictionaries(st.integers(0, 30).map(str), st.sampled_from("ABCDEFG"))


@given(EXPORTERS, BUDGETS, HOLDERS)
def test_budgets_are_spread_evenly_with_the_fewest_moves(
    exporters: set[str], budgets: set[str], holders: dict[str, str]
) -> None:
    """All have a live holder, two exporters differ by one at most, and no more moved than that takes."""
    held = {budget: holder for budget, holder in holders.items() if budget in budgets and holder in exporters}
    plan = lease_plan(dict.fromkeys(exporters, budgets), held)
    load = Counter(dict.fromkeys(exporters, 0)) + Counter()
    load.update(plan.values())
    assert plan.keys() == budgets
    assert max(load[each] for each in exporters) - min(load[each] for each in exporters) <= 1
    each, more = divmod(len(budgets), len(exporters))
    before = sorted(Counter(held.values()).values(), reverse=True)
    needed = sum(max(0, count - each - (place < more)) for place, count in enumerate(before))
    assert sum(plan[budget] != holder for budget, holder in held.items()) == needed


@given(st.dictionaries(st.sampled_from("ABCD"), st.sets(st.integers(0, 9).map(str)), min_size=1), HOLDERS)
def test_a_plan_is_what_everyone_computes_and_keeps(can_hold: dict[str, set[str]], holders: dict[str, str]) -> None:
    """Each budget goes to one that is configured for it, whatever the order of rows; a plan in force stays."""
    plan = lease_plan(can_hold, holders)
    assert plan.keys() == set().union(*can_hold.values())
    assert all(budget in can_hold[holder] for budget, holder in plan.items())
    again = lease_plan(dict(reversed(can_hold.items())), dict(reversed(holders.items())))
    assert again == plan
    assert lease_plan(can_hold, plan) == plan


@given(st.floats(0, 1e6), st.floats(0, 60), st.floats(2, 3600), st.floats(0.9, 1.1))
def test_a_holder_stops_before_the_database_ends_its_lease(
    asked_at: float, delay: float, lease_seconds: float, clock_rate: float
) -> None:
    """However late the database extends a lease, and though the holder's clock is a tenth slow, it stops before."""
    assert (own_end(asked_at, lease_seconds) - asked_at) / clock_rate < delay + lease_seconds
