"""`/api/v1/rules`: which of the rules are asked for, and how they are answered."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from exporter.policy.rule import Exemption, Severity
from exporter.web.query import DEFAULT_LIMIT, cursor_after, given_once, read_choice, read_cursor, read_limit
from exporter.web.view import RuleTotals, RuleView

_PARAMETERS: Final = ("severity", "enabled", "rule", "limit", "cursor")


class RulesQuery(Struct, frozen=True):
    """Which rules are asked for; None: whatever it is."""

    severity: str | None = None
    enabled: bool | None = None
    rule: str | None = None
    limit: int = DEFAULT_LIMIT
    after: str = ""
    """The name of the last one that was shown on the page before."""

    def asks_for(self, shown: RuleView) -> bool:
        """Whether a rule is one of them, whatever the page."""
        return (
            self.severity in {None, shown.rule.severity}
            and self.enabled in {None, shown.why_off is None}
            and self.rule in {None, shown.rule.name}
        )


def read_rules_query(parameters: Iterable[tuple[str, str]]) -> RulesQuery:
    """Read the parameters of a URL.

    Raises:
        BadQueryError: One is unknown, given twice, empty, or not what it has to be.
    """
    given = given_once(parameters, _PARAMETERS)
    enabled = read_choice(given, "enabled", ("true", "false"))
    (after,) = read_cursor(given, names=1) or ("",)
    return RulesQuery(
        severity=read_choice(given, "severity", Severity),
        enabled=None if enabled is None else enabled == "true",
        rule=given.get("rule"),
        limit=read_limit(given),
        after=after,
    )


def rules_document(rules: Iterable[RuleView], query: RulesQuery, *, now: float) -> Mapping[str, Any]:
    """Return the answer: a page of rules by name, how many there are on all pages, and where the next page begins.

    Args:
        rules: All there are, each name once.
        query: Which of them.
        now: Wall-clock seconds, by which exemptions have ended or not.
    """
    matching = sorted(filter(query.asks_for, rules), key=lambda shown: shown.rule.name)
    rest = [shown for shown in matching if shown.rule.name > query.after]
    page = rest[: query.limit]
    return {
        "rules": [_rule(shown, now) for shown in page],
        "matching": len(matching),
        "next_cursor": cursor_after(page[-1].rule.name) if len(rest) > len(page) else None,
    }


def _rule(shown: RuleView, now: float) -> dict[str, Any]:
    rule = shown.rule
    return {
        "name": rule.name,
        "title": rule.title,
        "severity": rule.severity,
        "owner": rule.owner,
        "runbook_url": rule.runbook_url,
        "source": rule.source,
        "enabled": shown.why_off is None,
        "why": shown.why_off,
        "apps": rule.apps,
        "when": rule.when,
        "expect": rule.expect,
        "message": rule.message,
        "reason": rule.reason,
        "remedy": rule.remedy,
        "exemptions": [_exemption(exemption, now) for exemption in rule.exempt],
        "totals": None if shown.totals is None else _totals(shown.totals),
        "unevaluable_reasons": shown.reasons(),
    }


def _exemption(exemption: Exemption, now: float) -> dict[str, Any]:
    ends_at = exemption.ends_at
    return {
        "name": exemption.name,
        "tasks": exemption.tasks,
        "until": None if exemption.until is None else exemption.until.isoformat(),
        "reason": exemption.reason,
        "ended": ends_at is not None and ends_at <= now,
    }


def _totals(totals: RuleTotals) -> dict[str, Any]:
    return {
        "violations": totals.violations,
        "evaluated": totals.evaluated,
        "not_applicable": totals.not_applicable,
        "exempted": totals.exempted,
        "unevaluable": totals.unevaluable,
        "oldest_violation_timestamp_seconds": totals.oldest_violation,
    }
