"""Which of many tasks are the examples of all: always the same ones, as far as possible."""

from bisect import bisect_left, insort
from collections.abc import Collection, Mapping, Sequence
from heapq import nsmallest
from typing import Final

import xxhash

from exporter.rules.rule import SEVERITIES, AppKey, Severity

LEAST_ROOM: Final = 128
"""More than `examples_per_rule` can be: else a question about many tasks would look at all of them."""


class StableExamples:
    """Chooses the tasks whose TaskIds have the lowest hashes: the same ones whatever happened before.

    `added` and `removed` are to be called after each change of the TaskIds to choose from.
    """

    def __init__(self, tasks: Collection[str]) -> None:
        self._tasks = tasks
        self._room = LEAST_ROOM
        self._lowest: list[tuple[int, str]] = []  # the lowest of all, in order, though not all that are low

    def added(self, task_id: str) -> None:
        """Take note of a task that was not there before."""
        ranked = _ranked(task_id)
        knows_all = len(self._lowest) == len(self._tasks) - 1
        if knows_all or (self._lowest and ranked < self._lowest[-1]):
            insort(self._lowest, ranked)
            if len(self._lowest) > 2 * self._room:
                del self._lowest[self._room :]

    def removed(self, task_id: str) -> None:
        """Take note of a task that was there before."""
        ranked = _ranked(task_id)
        place = bisect_left(self._lowest, ranked)
        if place < len(self._lowest) and self._lowest[place] == ranked:
            del self._lowest[place]

    def first(self, most: int) -> tuple[str, ...]:
        """Return this many examples, or all tasks where there are fewer."""
        if len(self._lowest) < min(most, len(self._tasks)):
            self._room = max(LEAST_ROOM, 2 * most)
            self._lowest = nsmallest(self._room, map(_ranked, self._tasks))
        return tuple(task_id for _, task_id in self._lowest[:most])


def _ranked(task_id: str) -> tuple[int, str]:
    """Return a TaskId behind 64 bits that are the same in every process."""
    return xxhash.xxh3_64_intdigest(task_id.encode("utf-8", "replace")), task_id


class ExampleAllowance:
    """Shares out examples over the rules of all apps: critical ones first, and alike within one severity.

    For each severity it is the largest number of examples for each rule and app with which all violations that are
    shown stay within what the severities above leave: at most `per_rule` for each rule and app, `most` over all.
    """

    def __init__(self, per_rule: int, most: int) -> None:
        self._per_rule = per_rule
        self._most = most
        self._violations: dict[AppKey, Mapping[Severity, Sequence[int]]] = {}
        self._at_least = {severity: [0] * per_rule for severity in SEVERITIES}
        """At `[n]`: how many rules and apps have more than n violations."""
        self._allowed = dict.fromkeys(SEVERITIES, per_rule)

    def of(self, severity: Severity) -> int:
        """Return how many examples each rule of a severity may show of each app."""
        return self._allowed[severity]

    def update(self, app: AppKey, violations: Mapping[Severity, Sequence[int]]) -> bool:
        """Take note of how many violations each rule of an app has; return whether any allowance differs now."""
        before = self._violations.get(app, {})
        if before == violations:
            return False
        self._count(before, -1)
        self._count(violations, 1)
        self._violations[app] = violations
        return self._share_out()

    def _count(self, violations: Mapping[Severity, Sequence[int]], change: int) -> None:
        for severity, numbers in violations.items():
            at_least = self._at_least[severity]
            for number in numbers:
                for place in range(min(number, self._per_rule)):
                    at_least[place] += change

    def _share_out(self) -> bool:
        before, self._allowed = self._allowed, {}
        left = self._most
        for severity in reversed(SEVERITIES):
            allowed = 0
            for rules in self._at_least[severity]:
                if rules > left:
                    break
                allowed += 1
                left -= rules
            self._allowed[severity] = allowed
        return self._allowed != before
