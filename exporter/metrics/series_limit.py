"""Which tasks have series of their own when not all can have them: always the same ones, as far as possible."""

from collections.abc import Iterator, Sequence
from itertools import accumulate, takewhile
from typing import Final, TypeAlias

import xxhash

from exporter.metrics.per_task_families import ListedTask, series_of

SHARDS: Final = 1024
_HASH_BITS: Final = 64

_Key: TypeAlias = tuple[str, str, str]  # Account, AppId, TaskId


class StableSubset:
    """Keeps tasks by the hash of their TaskId, and tells which of them have room.

    Those with the lowest hashes have it, as many as there are until one does not fit. So the choice depends on the
    tasks alone, not on the way there, and one that comes or goes moves no more than the border.

    Tasks whose hashes are near each other form a shard, which is rendered together.
    """

    def __init__(self, max_series: int) -> None:
        self._max_series = max_series
        self._shards: tuple[dict[_Key, ListedTask], ...] = tuple({} for _ in range(SHARDS))
        self._series = [0] * SHARDS
        self._changed: set[int] = set()
        self._border = 0  # the shard in which the room ended when it was last looked
        self.omitted_series = 0  # of the tasks that were left out when it was last looked

    def put(self, task: ListedTask) -> None:
        """Add a task, or replace it by another version."""
        key = (task.account, task.app_id, task.task_id)
        self.remove(*key)
        shard = _shard(_hash(task.task_id))
        self._shards[shard][key] = task
        self._series[shard] += series_of(task)
        self._changed.add(shard)

    def remove(self, account: str, app_id: str, task_id: str) -> None:
        """Take a task out, if it is there."""
        shard = _shard(_hash(task_id))
        task = self._shards[shard].pop((account, app_id, task_id), None)
        if task is not None:
            self._series[shard] -= series_of(task)
            self._changed.add(shard)

    def remove_app(self, account: str, app_id: str) -> None:
        """Take out all tasks of an app."""
        of_app = [key for tasks in self._shards for key in tasks if key[:2] == (account, app_id)]
        for key in of_app:
            self.remove(*key)

    def take_changes(self) -> Iterator[tuple[int, Sequence[ListedTask]]]:
        """Yield the chosen tasks of each shard that may have changed since the last call; to be read to the end."""
        before, border = self._border, sum(1 for _ in takewhile(self._has_room, accumulate(self._series)))
        passed = range(min(before, border), max(before, border) + 1)
        within_reach = (shard for shard in self._changed if shard < passed.stop)
        self._border = border
        self._changed = set()
        omitted = sum(self._series[border:])
        for shard in sorted({*passed, *within_reach} - {SHARDS}):
            chosen: Sequence[ListedTask] = ()
            if shard < border:
                chosen = self._sorted(shard)
            elif shard == border:
                chosen = self._with_room(shard)
                omitted -= sum(map(series_of, chosen))
            yield shard, chosen
        self.omitted_series = omitted

    def _has_room(self, series: int) -> bool:
        """Whether this many series are not too many."""
        return series <= self._max_series

    def _with_room(self, shard: int) -> Sequence[ListedTask]:
        """Return the first tasks of the shard at the border, as many as fit behind the shards before it."""
        tasks = self._sorted(shard)
        series = accumulate((series_of(task) for task in tasks), initial=sum(self._series[:shard]))
        fit = sum(1 for _ in takewhile(self._has_room, series)) - 1
        return tasks[:fit]

    def _sorted(self, shard: int) -> Sequence[ListedTask]:
        """Return a shard's tasks, lowest hash first."""
        tasks = self._shards[shard]
        return [tasks[key] for key in sorted(tasks, key=lambda key: (_hash(key[2]), key))]


def _hash(task_id: str) -> int:
    """Return 64 bits that are the same in every process."""
    return xxhash.xxh3_64_intdigest(task_id.encode("utf-8", "replace"))


def _shard(task_hash: int) -> int:
    """Return the shard of a hash: higher ones have higher hashes."""
    return task_hash * SHARDS >> _HASH_BITS
