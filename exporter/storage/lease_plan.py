"""Which exporter should hold which request budget: the same plan for all that see the same leases."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

USED_SHARE: Final = 0.8
"""Of a lease, by the holder's own clock: the rest is for clocks that run apart and requests that are under way."""


def own_end(asked_at: float, lease_seconds: float) -> float:
    """Return until when a holder may use a lease, by its own monotonic clock."""
    return asked_at + USED_SHARE * lease_seconds


def lease_plan(can_hold: Mapping[str, AbstractSet[str]], held: Mapping[str, str]) -> Mapping[str, str]:
    """Return the exporter that should hold each budget: evenly many each, with the fewest moves.

    `can_hold` has the budgets that each live exporter is configured for, `held` the holder of each budget that has one.
    """
    plan = {budget: holder for budget, holder in held.items() if budget in can_hold.get(holder, ())}
    load = dict.fromkeys(can_hold, 0)
    for holder in plan.values():
        load[holder] += 1
    for budget in sorted(set[str]().union(*can_hold.values()) - plan.keys()):
        least = min((exporter for exporter in can_hold if budget in can_hold[exporter]), key=lambda it: (load[it], it))
        plan[budget] = least
        load[least] += 1
    while move := _best_move(can_hold, plan, load, held):
        budget, to = move
        load[plan[budget]] -= 1
        load[to] += 1
        plan[budget] = to
    return plan


def _best_move(
    can_hold: Mapping[str, AbstractSet[str]], plan: Mapping[str, str], load: Mapping[str, int], held: Mapping[str, str]
) -> tuple[str, str] | None:
    """Return a move from the fullest to the emptiest exporter, of a budget without a holder if there is one."""
    moves = [
        (load[holder] - load[to], budget not in held, budget, to)
        for budget, holder in plan.items()
        for to in can_hold
        if load[holder] - load[to] > 1 and budget in can_hold[to]
    ]
    return max(moves)[2:] if moves else None
