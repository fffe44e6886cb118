"""What of one app is still to be evaluated."""

from collections import deque
from collections.abc import Iterator, Sequence
from enum import IntEnum

from msgspec import Struct

from exporter.collector.inventory import Change


class Scope(IntEnum):
    """By which rules a task is to be evaluated; each includes those before it."""

    EXEMPTIONS = 0  # by none: only which violations are exempt is looked at again
    TIME = 1  # by rules about the time
    RELATIONS = 2  # by rules about other tasks, too
    ALL = 3


class _Round(Struct):
    """Many tasks that are evaluated one after the other."""

    task_ids: Iterator[str]
    left: int
    scope: Scope


class Backlog:
    """The tasks of one app that are to be evaluated, each as it is when its turn comes.

    Tasks that changed come before those that are only looked at again.
    """

    def __init__(self) -> None:
        self._marked: dict[str, Scope] = {}
        self._changed: deque[_Round] = deque()
        self._reviews: deque[_Round] = deque()

    def __bool__(self) -> bool:
        return bool(self._marked or self._changed or self._reviews)

    @property
    def has_changes(self) -> bool:
        """Whether some tasks are not as they were when they were evaluated."""
        return bool(self._marked or self._changed)

    @property
    def has_reviews(self) -> bool:
        """Whether tasks wait that are only looked at again."""
        return bool(self._reviews)

    @property
    def next_tasks(self) -> int:
        """How many tasks come next: those that changed, or else those that are looked at again."""
        changed = len(self._marked) + sum(each.left for each in self._changed)
        return changed or sum(each.left for each in self._reviews)

    def mark(self, task_id: str, scope: Scope) -> None:
        """Note one task."""
        self._marked[task_id] = max(scope, self._marked.get(task_id, scope))

    def add_changes(self, changes: Sequence[Change]) -> None:
        """Note tasks that changed; the changes themselves, which are several times as large, are not kept."""
        self.add_changed([task.task_id for change in changes if (task := change.after or change.before)])

    def add_changed(self, task_ids: Sequence[str]) -> None:
        """Note tasks that may have changed."""
        if task_ids:
            self._changed.append(_Round(iter(task_ids), len(task_ids), Scope.ALL))

    def review(self, task_ids: Sequence[str], scope: Scope) -> None:
        """Note that all tasks are to be looked at again; what other reviews would look at need not wait for them."""
        self._reviews = deque(each for each in self._reviews if each.scope > scope)
        if task_ids:
            self._reviews.append(_Round(iter(task_ids), len(task_ids), scope))

    def take(self) -> tuple[str, Scope]:
        """Return the next task, and how far it is to be evaluated; raises IndexError if nothing is left."""
        if self._marked:
            return self._marked.popitem()
        rounds = self._changed or self._reviews
        first = rounds[0]
        first.left -= 1
        if first.left == 0:
            rounds.popleft()
        return next(first.task_ids), first.scope
