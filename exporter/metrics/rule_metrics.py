"""What is said about the rules in force themselves, whatever comes of them."""

from collections.abc import Iterable
from typing import Final

from exporter.metrics.family import Declaration, Label
from exporter.metrics.labels import RULE, SEVERITY
from exporter.metrics.tables import Table
from exporter.policy.rule import Rule

RULE_INFO: Final = Declaration(
    name="rtcmpu_policy_rule_info",
    kind="info",
    help="An active rule; always 1.",
    labels=(
        RULE,
        SEVERITY,
        Label("title", meaning="The rule's title."),
        Label("rule_owner", meaning="The rule's owner; may be empty."),
        Label("runbook_url", meaning="The rule's runbook; may be empty."),
    ),
    note="One series per rule: default rules, rules of rule files, rules of `expect`. Join by `rule`. When a reload "
    "removes the rule, the series and the alerts about it end.",
)
EXEMPTION_EXPIRY: Final = Declaration(
    name="rtcmpu_policy_exemption_expiry_timestamp_seconds",
    kind="gauge",
    help="Unix time at which an exemption from a rule ends.",
    labels=(RULE, Label("exemption", meaning="The exemption's name.")),
    note="This is 24:00 UTC of the day `until`, also when it has passed. Absent for exemptions without an end.",
)

RULE_FAMILIES: Final = (RULE_INFO, EXEMPTION_EXPIRY)
"""In the order of the exposition."""


class RuleTables:
    """The families about rules that no app is a label of."""

    def __init__(self) -> None:
        self._rules = Table(RULE_INFO)
        self._exemptions = Table(EXEMPTION_EXPIRY)

    @property
    def tables(self) -> tuple[Table, ...]:
        """All of them, in the order of the exposition."""
        return (self._rules, self._exemptions)

    def replace(self, rules: Iterable[Rule]) -> None:
        """Publish these rules and no others; each name stands there once."""
        for table in self.tables:
            table.forget()
        for rule in rules:
            self._rules.set(1, rule.name, rule.severity, rule.title, rule.owner, rule.runbook_url)
            for exemption in rule.exempt:
                if exemption.ends_at is not None:
                    self._exemptions.set(exemption.ends_at, rule.name, exemption.name)
