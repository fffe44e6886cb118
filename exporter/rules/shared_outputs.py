"""Which tasks push to one stream, known by digests alone, and what tasks state about one host."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, TypeAlias

from exporter.core.task import Task
from exporter.rules.rule import AppKey

_Key: TypeAlias = int | tuple[str, bool]
"""60 bits of the digest of a stream, as 64 take 16 B more; or a host with IsAliCdn."""
_60_BITS: Final = (1 << 60) - 1
_Holders: TypeAlias = dict[_Key, str | set[str]]
"""The TaskIds that hold a key; one that is alone, as most are, needs no set."""


class SharedOutputs:
    """Counts, for a task, its streams that another task pushes to, and its hosts that another task flags otherwise.

    Other tasks are those of all apps. `touched` is called with each whose number may differ after a change.
    """

    def __init__(self, touched: Callable[[AppKey, str], None]) -> None:
        self._touched = touched
        self._apps: dict[AppKey, _Holders] = {}

    def replace(self, app: AppKey, task_id: str, before: Task | None, after: Task | None) -> None:
        """Take note of what a task pushes to now. What is known already may be repeated."""
        old, new = _keys(before), _keys(after)
        of_app = self._apps.setdefault(app, {})
        for key in old - new:
            if _discard(of_app, key, task_id):
                self._touch(self._affected(key), but=(app, task_id))
        for key in new:
            affected = self._affected(key)
            if _add(of_app, key, task_id):
                self._touch(affected, but=(app, task_id))

    def remove_app(self, app: AppKey) -> None:
        """Forget an app's tasks."""
        for key in self._apps.pop(app, {}):
            self._touch(self._affected(key))

    def count(self, app: AppKey, task: Task) -> int:
        """Return how many of a task's streams another task pushes to."""
        return sum(self._has_other_holder(digest, app, task.task_id) for digest in _digests(task))

    def count_flag_conflicts(self, app: AppKey, task: Task) -> int:
        """Return how many of a task's hosts another task flags otherwise."""
        hosts = {host for host, flag in _flags(task) if self._has_other_holder((host, not flag), app, task.task_id)}
        return len(hosts)

    def _has_other_holder(self, key: _Key, app: AppKey, task_id: str) -> bool:
        for of_key, of_app in self._apps.items():
            holders = of_app.get(key)
            if holders is not None and (of_key != app or holders != task_id):
                return True
        return False

    def _touch(self, holders: Iterable[tuple[AppKey, str]], but: tuple[AppKey, str] | None = None) -> None:
        for holder in holders:
            if holder != but:
                self._touched(*holder)

    def _affected(self, key: _Key) -> list[tuple[AppKey, str]]:
        """Return the tasks to which one more or fewer holder of a key makes a difference."""
        some = list(islice(self._holders(key), 2))
        if not some and isinstance(key, tuple):
            host, flag = key
            return list(self._holders((host, not flag)))
        return some if len(some) == 1 else []

    def _holders(self, key: _Key) -> Iterator[tuple[AppKey, str]]:
        for app, of_app in self._apps.items():
            holders = of_app.get(key, ())
            for task_id in (holders,) if isinstance(holders, str) else holders:
                yield app, task_id


def _digests(task: Task | None) -> set[int]:
    return set() if task is None else {int.from_bytes(digest, "big") & _60_BITS for digest in task.stream_digests}


def _flags(task: Task | None) -> set[tuple[str, bool]]:
    if task is None:
        return set()
    return {(one.host, one.is_ali_cdn) for one in task.configuration.outputs if one.host and one.is_ali_cdn is not None}


def _keys(task: Task | None) -> set[_Key]:
    return {*_digests(task), *_flags(task)}


def _add(holders: _Holders, key: _Key, task_id: str) -> bool:
    known = holders.get(key)
    if known is None:
        holders[key] = task_id
    elif isinstance(known, str):
        if known == task_id:
            return False
        holders[key] = {known, task_id}
    else:
        if task_id in known:
            return False
        known.add(task_id)
    return True


def _discard(holders: _Holders, key: _Key, task_id: str) -> bool:
    known = holders.get(key)
    if known == task_id:
        del holders[key]
        return True
    if isinstance(known, set) and task_id in known:
        known.discard(task_id)
        if len(known) == 1:
            holders[key] = known.pop()
        return True
    return False
