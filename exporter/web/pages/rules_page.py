"""`/rules`: rules and their totals."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from exporter.rules.rule import SEVERITIES, Exemption
from exporter.web.query import Query, known
from exporter.web.view import RuleView, View

PARAMETERS: Final = known("text severity enabled")


class RuleRow(Struct, frozen=True):
    """A rule on the page."""

    shown: RuleView
    reasons: Sequence[str]  # why it can't be evaluated for some tasks
    exemptions: Sequence[tuple[Exemption, bool]]  # each, and whether it has ended


def shown_rules(view: View, query: Query, *, now: float) -> Mapping[str, Any]:
    """Return the template's values; exemptions have ended or not by `now`, a Unix time."""
    rules = list(view.rules())
    wanted = sorted(filter(query.matches_rule, rules), key=_place)
    return {
        "query": query,
        "rules": [_row(shown, now) for shown in wanted],
        "all_rules": len(rules),
        "severities": tuple(reversed(SEVERITIES)),
    }


def _place(shown: RuleView) -> tuple[bool, int, str]:
    """Order by whether it is in force, then severity."""
    return shown.why_off is not None, -shown.rule.severity.rank, shown.rule.name


def _row(shown: RuleView, now: float) -> RuleRow:
    exemptions = [(one, one.ends_at is not None and one.ends_at <= now) for one in shown.rule.exempt]
    return RuleRow(shown, tuple(shown.reasons()), exemptions)
