"""What the policy says about one app at one moment: immutable, and consistent in itself."""

from msgspec import Struct

from exporter.policy.rule import Severity


class RuleReport(Struct, frozen=True):
    """How it stands with one rule in one app.

    `evaluated + not_applicable + exempted + unevaluable` is the number of the app's tasks; for a rule about the app
    as a whole it is 1.
    """

    rule: str
    severity: Severity
    evaluated: int = 0
    """Tasks that pass or violate it."""
    not_applicable: int = 0
    exempted: int = 0
    unevaluable: int = 0
    violations: int = 0
    oldest_violation: float | None = None
    """Wall-clock seconds since when the oldest open violation is seen; None: there is none."""
    opened: int = 0
    """Since the baseline: violations = those at the baseline + opened - resolved."""
    resolved: int = 0
    examples: tuple[str, ...] = ()
    """TaskIds of some violations, chosen stably."""
    examples_omitted: int = 0
    """Violating tasks that are not among the examples."""


class PolicyReport(Struct, frozen=True):
    """How it stands with all rules of one app."""

    revision: int
    """Another one for each report of the process: equal means that nothing differs."""
    rules: tuple[RuleReport, ...]
    """In the order of the rules; those that were not evaluated for all tasks yet are left out."""
