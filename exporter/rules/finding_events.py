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
    """Receives events of findings. A task_id of None stands for the app as a whole."""

    def baseline(self, app: AppKey, violations: int) -> None:
        """An app was evaluated for the first time, or for the first time by some rules.

        Args:
            app: Account and AppId.
            violations: That were found by these rules and are reported in no other way.
        """

    def found(self, app: AppKey, rule: AnyRule, task_id: str | None, text: Callable[[], str]) -> None:
        """A violation of a baseline, before `baseline` is called for it, that no earlier process knew.

        Args:
            app: Account and AppId.
            rule: Which is violated.
            task_id: By which task.
            text: Returns one line about it for people; to be called now or never.
        """

    def stopped(self, rule: AnyRule, why: str) -> None:
        """A rule is not evaluated any more; its findings stay as they are until rules are loaded again."""

    def opened(self, app: AppKey, rule: AnyRule, task_id: str | None, text: str) -> None:
        """A violation is there that was not there before.

        Args:
            app: Account and AppId.
            rule: Which is violated.
            task_id: By which task.
            text: One line about it for people.
        """

    def resolved(self, app: AppKey, rule: AnyRule, task_id: str | None, since: float, why: Resolution) -> None:
        """A violation is open no longer.

        Args:
            app: Account and AppId.
            rule: Which was violated.
            task_id: By which task.
            since: Since when, in wall-clock seconds.
            why: What has become of it.
        """


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
    """What one rule says about one app now. To be read before the event loop goes on: it follows the tasks."""

    rule: AnyRule
    since: Mapping[str, float]
    """The open violations by TaskId, in wall-clock seconds; an empty TaskId stands for the app as a whole."""
    exempted: Callable[[], Iterator[str]]  # yields the TaskIds of violations that are exempt; looks at all tasks
    unevaluable: Callable[[], Iterator[str]]
    """Yields the TaskIds that the rule can't be evaluated for; looks at all tasks."""
    outcome: Callable[[str], Outcome | None]
    """Returns what has come of the rule for one task; None: it was not evaluated by it."""
