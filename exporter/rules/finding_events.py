"""What happens to findings, as events."""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Protocol, TypeAlias

from msgspec import Struct

from exporter.rules.compiled_rule import CompiledRule, TaskCountRule
from exporter.rules.rule import Outcome

AppKey: TypeAlias = tuple[str, str]  # account and AppId

AnyRule: TypeAlias = CompiledRule | TaskCountRule


class Resolution(StrEnum):
    """Why a violation is open no longer."""

    FIXED = "fixed"  # it passes
    NOT_APPLICABLE = "not_applicable"  # the rule does not apply any more
    EXEMPTED = "exempted"  # an exemption holds now
    UNEVALUABLE = "unevaluable"  # the rule can't be evaluated any more
    REMOVED = "removed"  # the task is gone


class FindingEvents(Protocol):
    """Receives events of findings. A task_id of None stands for the app as a whole; a text is one line for people."""

    def baseline(self, app: AppKey, violations: int) -> None:
        """An app was evaluated for the first time, or by some rules; these violations are reported in no other way."""

    def found(self, app: AppKey, rule: AnyRule, task_id: str | None, text: Callable[[], str]) -> None:
        """A violation that no earlier process knew, before the `baseline` that counts it; `text` is for now only."""

    def stopped(self, rule: AnyRule, why: str) -> None:
        """A rule is not evaluated any more; its findings stay as they are until rules are loaded again."""

    def opened(self, app: AppKey, rule: AnyRule, task_id: str | None, text: str) -> None:
        """A violation is there that was not there before."""

    def resolved(self, app: AppKey, rule: AnyRule, task_id: str | None, since: float, why: Resolution) -> None:
        """A violation, open since a wall-clock time, is open no longer."""


class NullFindingEvents:
    """Discards all events."""

    def baseline(self, app: AppKey, violations: int) -> None:
        """Ignore it."""

    def found(self, app: AppKey, rule: AnyRule, task_id: str | None, text: Callable[[], str]) -> None:
        """Ignore it."""

    def stopped(self, rule: AnyRule, why: str) -> None:
        """Ignore it."""

    def opened(self, app: AppKey, rule: AnyRule, task_id: str | None, text: str) -> None:
        """Ignore it."""

    def resolved(self, app: AppKey, rule: AnyRule, task_id: str | None, since: float, why: Resolution) -> None:
        """Ignore it."""


class SavedFindings(Struct, frozen=True):
    """What outlives the process: since when tasks violate a rule."""

    rule_version: tuple[str, ...]
    since: Mapping[str, float]  # by TaskId, in wall-clock seconds; an empty TaskId stands for the app as a whole


class OpenFindings(Struct, frozen=True):
    """What one rule says about one app now. Read it before the event loop runs again: it follows the tasks."""

    rule: AnyRule
    since: Mapping[str, float]
    """The open violations by TaskId, in wall-clock seconds; an empty TaskId stands for the app as a whole."""
    exempted: Callable[[], Iterator[str]]  # yields the TaskIds of violations that are exempt; looks at all tasks
    unevaluable: Callable[[], Iterator[str]]
    """Yields the TaskIds that the rule can't be evaluated for; looks at all tasks."""
    outcome: Callable[[str], Outcome | None]
    """Returns what has come of the rule for one task; None: it was not evaluated by it."""
