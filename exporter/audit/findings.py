"""What an audit has found. All texts are whole Unicode, and otherwise as they were read: each rendering escapes."""

from collections.abc import Iterator
from typing import NamedTuple

from msgspec import Struct

from exporter.policy.rule import Exemption, Rule, Severity
from exporter.state import State


class Violation(NamedTuple):
    """One task that is not as expected."""

    task_id: str
    """Empty: the app as a whole."""
    message: str


class Exempted(NamedTuple):
    """One task that is not as expected, which is agreed upon."""

    task_id: str
    exemption: Exemption


class Unevaluable(NamedTuple):
    """One task for which a rule can't be evaluated."""

    task_id: str
    """Empty: the app as a whole."""
    reason: str


class RuleFindings(Struct, frozen=True, kw_only=True):
    """How it stands with one rule in one app; everything is in the order of TaskIds."""

    rule: Rule
    passed: int = 0
    """Tasks, as the next one."""
    not_applicable: int = 0
    violations: tuple[Violation, ...] = ()
    exempted: tuple[Exempted, ...] = ()
    unevaluable: tuple[Unevaluable, ...] = ()


class AppFindings(Struct, frozen=True, kw_only=True):
    """What was found in one app."""

    account: str
    app_id: str
    name: str
    owner: str
    state: State
    reason: str
    """Why it can't be read; empty while it can."""
    tasks: int | None
    """None: it could not be read."""
    rules: tuple[RuleFindings, ...] = ()
    """Those that apply to the app; none where it could not be read."""

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return f"{self.account}/{self.app_id}"

    @property
    def was_read(self) -> bool:
        """Whether its tasks are known."""
        return self.tasks is not None


class Audit(Struct, frozen=True):
    """What was found in all apps."""

    rules: tuple[Rule, ...]
    """Every rule in force, once by its name."""
    apps: tuple[AppFindings, ...]

    @property
    def all_read(self) -> bool:
        """Whether every app could be read."""
        return all(app.was_read for app in self.apps)

    def found(self) -> Iterator[tuple[AppFindings, RuleFindings]]:
        """Go through all findings, app by app."""
        for app in self.apps:
            for findings in app.rules:
                yield app, findings

    def violations(self, severity: Severity) -> int:
        """Return how many violations of exactly this severity there are."""
        return sum(len(findings.violations) for _, findings in self.found() if findings.rule.severity is severity)

    def fails(self, fail_on: Severity | None) -> bool:
        """Whether there is a violation of this severity or a higher one; with None there never is."""
        return fail_on is not None and any(
            findings.violations and is_failure(findings.rule, fail_on) for _, findings in self.found()
        )


def is_failure(rule: Rule, fail_on: Severity | None) -> bool:
    """Whether violations of a rule are what an audit is to fail for."""
    return fail_on is not None and rule.severity.rank >= fail_on.rank
