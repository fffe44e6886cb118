"""Which tasks push to one URL, known by digests alone."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeAlias

from exporter.core.task import Task
from exporter.rules.finding_events import AppKey

_Holders: TypeAlias = dict[int, str | set[str]]
"""The TaskIds that hold a digest; one that is alone, as most are, needs no set."""


class SharedOutputs:
    """Counts, for a task, how many of its URLs another task of any app uses too.

    Args:
        touched: Called with each other task whose number may differ after a change.
    """

    def __init__(self, touched: Callable[[AppKey, str], None]) -> None:
        self._touched = touched
        self._apps: dict[AppKey, _Holders] = {}

    def replace(self, app: AppKey, task_id: str, before: Task | None, after: Task | None) -> None:
        """Take note of what a task pushes to now. What is known already may be repeated."""
        old, new = _digests(before), _digests(after)
        of_app = self._apps.setdefault(app, {})
        for digest in old - new:
            if _discard(of_app, digest, task_id):
                self._touch_single(digest)
        for digest in new:
            single = self._single_holder(digest)
            if _add(of_app, digest, task_id) and single is not None:
                self._touched(*single)

    def remove_app(self, app: AppKey) -> None:
        """Forget an app's tasks."""
        for digest in self._apps.pop(app, {}):
            self._touch_single(digest)

    def count(self, app: AppKey, task: Task) -> int:
        """Return how many of a task's URLs another task uses too."""
        return sum(self._is_shared(digest, app, task.task_id) for digest in _digests(task))

    def _is_shared(self, digest: int, app: AppKey, task_id: str) -> bool:
        for key, of_app in self._apps.items():
            holders = of_app.get(digest)
            if holders is not None and (key != app or holders != task_id):
                return True
        return False

    def _touch_single(self, digest: int) -> None:
        single = self._single_holder(digest)
        if single is not None:
            self._touched(*single)

    def _single_holder(self, digest: int) -> tuple[AppKey, str] | None:
        """Return the only task that uses a URL; None: there is none, or more than one."""
        some = list(islice(self._holders(digest), 2))
        return some[0] if len(some) == 1 else None

    def _holders(self, digest: int) -> Iterator[tuple[AppKey, str]]:
        for app, of_app in self._apps.items():
            holders = of_app.get(digest, ())
            for task_id in (holders,) if isinstance(holders, str) else holders:
                yield app, task_id


def _digests(task: Task | None) -> set[int]:
    return set() if task is None else {int.from_bytes(digest, "big") for digest in task.stream_digests}


def _add(holders: _Holders, digest: int, task_id: str) -> bool:
    """Add a holder; return whether it was none before."""
    known = holders.get(digest)
    if known is None:
        holders[digest] = task_id
    elif isinstance(known, str):
        if known == task_id:
            return False
        holders[digest] = {known, task_id}
    else:
        if task_id in known:
            return False
        known.add(task_id)
    return True


def _discard(holders: _Holders, digest: int, task_id: str) -> bool:
    """Take out a holder; return whether it was one before."""
    known = holders.get(digest)
    if known == task_id:
        del holders[digest]
        return True
    if isinstance(known, set) and task_id in known:
        known.discard(task_id)
        if len(known) == 1:
            holders[digest] = known.pop()
        return True
    return False
