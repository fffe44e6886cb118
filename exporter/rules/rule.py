"""What a rule is, before its expressions are compiled, and what can come of it."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from math import inf
from typing import Any, Final, TypeAlias

from msgspec import Struct

AppKey: TypeAlias = tuple[str, str]  # account and AppId


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
    def ends_at(self) -> float:
        """The first second in which it no longer holds, since 1970; infinite: it holds for good."""
        if self.until is None:
            return inf
        return datetime.combine(self.until + timedelta(days=1), time(), UTC).timestamp()


class Case(Struct, frozen=True):
    """One test that is beside a rule."""

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
    """Where it is: `default`, `profile`, `app` for expectations of an app, or file:line."""

    @property
    def version(self) -> tuple[str, ...]:
        """What findings and counters belong to: while it is the same, they survive a reload."""
        return (self.name, self.severity, self.when, self.expect)


OUTCOMES: Final = tuple(Outcome)
"""By code."""

CODES: Final = {outcome: code for code, outcome in enumerate(OUTCOMES)}

PASS, VIOLATION, NOT_APPLICABLE, EXEMPT, ERROR = range(len(OUTCOMES))
UNKNOWN: Final = len(OUTCOMES)
"""Nothing is known: the rule is new, or the task is not there."""
FROZEN: Final = UNKNOWN + 1
"""The rule is stopped: the outcome before stays. Never among the outcomes that are kept of a task."""

_AS_JUDGED: Final = bytes.maketrans(bytes([EXEMPT]), bytes([VIOLATION]))


def nothing_known(rules: int) -> bytes:
    """Return the outcomes of a task that was not evaluated."""
    return bytes([UNKNOWN]) * rules


def frozen_as(before: bytes, after: bytes) -> bytes:
    """Return the outcomes after, with those before where they are frozen; what was never evaluated is an error."""
    if FROZEN not in after:
        return after
    kept = (ERROR if old == UNKNOWN else old for old in before)
    return bytes(old if new == FROZEN else new for old, new in zip(kept, after, strict=True))


def without_exemptions(outcomes: bytes) -> bytes:
    """Return the outcomes as they were before exemptions were applied."""
    return outcomes.translate(_AS_JUDGED)
