"""What a rule is, before its expressions are compiled, and what can come of it."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct


class Severity(StrEnum):
    """How much a violation matters, least first. Info is for dashboards and never alerts."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Its place, for comparisons: 0 is the least."""
        return SEVERITIES.index(self)


SEVERITIES: Final = tuple(Severity)


class Outcome(StrEnum):
    """What comes of a rule for one task; exactly one of these."""

    PASS = "pass"  # noqa: S105 - no password
    VIOLATION = "violation"
    NOT_APPLICABLE = "not_applicable"
    EXEMPT = "exempt"
    """It would be a violation, but for an exemption."""
    ERROR = "error"
    """It can't be evaluated: neither pass nor violation."""


class Exemption(Struct, frozen=True, kw_only=True):
    """Tasks whose violations of a rule are agreed upon."""

    name: str
    tasks: tuple[str, ...]
    """TaskIds or globs."""
    until: date | None = None
    """The last day, which ends at 24:00 UTC; None: for good."""
    reason: str = ""

    @property
    def ends_at(self) -> float | None:
        """The first second in which it no longer holds, since 1970; None: it holds for good."""
        if self.until is None:
            return None
        return datetime.combine(self.until + timedelta(days=1), time(), UTC).timestamp()


class Case(Struct, frozen=True, kw_only=True):
    """One test that stands beside a rule."""

    variables: Mapping[str, Any]
    """What the case gives: `task` as nested mappings, and any of the other variables, as `vocabulary.py` types them."""
    outcome: Outcome
    place: str = ""
    """file:line:column, for reports."""


class Rule(Struct, frozen=True, kw_only=True):
    """One rule as it is written; expressions are texts in CEL."""

    name: str
    """The label `rule`."""
    title: str
    severity: Severity
    expect: str
    owner: str = ""
    runbook_url: str = ""
    apps: tuple[str, ...] = ()
    """AppIds or globs; empty: all apps."""
    when: str = ""
    """Where it is false, the rule does not apply; empty: it always does."""
    message: str = ""
    """Makes the text that people see for one task; empty: the title."""
    exempt: tuple[Exemption, ...] = ()
    tests: tuple[Case, ...] = ()
    reason: str = ""
    """Why anyone should care, for documents and pages."""
    remedy: str = ""
    """What to do about a violation."""
    source: str = ""
    """Where it stands: `default`, `app` for expectations of an app, or file:line."""

    @property
    def version(self) -> tuple[str, ...]:
        """What findings and counters belong to: while it is the same, they survive a reload."""
        return (self.name, self.severity, self.when, self.expect)
