"""`/rules`: rules and their totals."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from exporter.policy.rule import SEVERITIES, Exemption
from exporter.web.pages.parameters import read_choice, read_text
from exporter.web.view import RuleView, View


class RulesQuery(Struct, frozen=True):
    """Which rules are asked for; an empty text: whatever it is."""

    text: str = ""
    """A part of the name, the title or the owner."""
    severity: str = ""
    enabled: str = ""

    def asks_for(self, shown: RuleView) -> bool:
        """Whether a rule is one of them."""
        rule = shown.rule
        return (
            self.severity in {"", rule.severity}
            and self.enabled in {"", "true" if shown.why_off is None else "false"}
            and any(self.text.lower() in part.lower() for part in (rule.name, rule.title, rule.owner))
        )


class RuleRow(Struct, frozen=True):
    """One rule as it is shown."""

    shown: RuleView
    reasons: Sequence[str]
    """Why it can't be evaluated for some tasks."""
    exemptions: Sequence[tuple[Exemption, bool]]
    """Each, and whether it has ended."""


def read_rules_query(query: Mapping[str, str]) -> RulesQuery:
    """Read the parameters of a URL.

    Raises:
        BadQueryError: One is not what it has to be.
    """
    return RulesQuery(
        text=read_text(query, "text"),
        severity=read_choice(query, "severity", SEVERITIES),
        enabled=read_choice(query, "enabled", ("true", "false")),
    )


def shown_rules(view: View, query: RulesQuery, *, now: float) -> Mapping[str, Any]:
    """Return what the template is given; `now` is wall-clock seconds, by which exemptions have ended."""
    rules = list(view.rules())
    wanted = sorted(filter(query.asks_for, rules), key=_place)
    return {
        "query": query,
        "rules": [_row(shown, now) for shown in wanted],
        "all_rules": len(rules),
        "severities": tuple(reversed(SEVERITIES)),
    }


def _place(shown: RuleView) -> tuple[bool, int, str]:
    """Order by what is on, the severest first."""
    return shown.why_off is not None, -shown.rule.severity.rank, shown.rule.name


def _row(shown: RuleView, now: float) -> RuleRow:
    exemptions = [(one, one.ends_at is not None and one.ends_at <= now) for one in shown.rule.exempt]
    return RuleRow(shown, tuple(shown.reasons()), exemptions)
