"""The findings of one rule in one app, for those who list or keep them."""

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from exporter.policy.finding_events import AnyRule
from exporter.policy.rule import Outcome


class SavedFindings(Struct, frozen=True):
    """What outlives the process: since when tasks violate a rule."""

    rule_version: tuple[str, ...]
    since: Mapping[str, float]
    """By TaskId, in wall-clock seconds; an empty TaskId stands for the app as a whole."""


class OpenFindings(Struct, frozen=True):
    """What one rule says about one app now. To be read before the event loop goes on: it follows the tasks."""

    rule: AnyRule
    since: Mapping[str, float]
    """The open violations by TaskId, in wall-clock seconds; an empty TaskId stands for the app as a whole."""
    exempted: Callable[[], Iterator[str]]
    """Yields the TaskIds of violations that are exempt; looks at all tasks."""
    unevaluable: Callable[[], Iterator[str]]
    """Yields the TaskIds that the rule can't be evaluated for; looks at all tasks."""
    outcome: Callable[[str], Outcome | None]
    """Returns what has come of the rule for one task; None: it was not judged by it."""
