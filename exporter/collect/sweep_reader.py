"""Reads the whole list until what was read agrees with itself.

One pass is enough for a list whose order is stable, however it moves. It is followed by one more reading of its front,
down to rows that have not moved since the pass began. Then the rows are counted: where the list ended says how many
there are. Where fewer tasks were seen, or rows came again that no update can have moved there, rows of equal update
times change places between requests. Then other passes are made: one whose pages are all of one size, since the order
may depend on it, and one whose windows share so many rows that they show most groups of equal rows whole.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from exporter.clock import Clock
from exporter.collect.gathered import REPLICA_LAG_SECONDS
from exporter.collect.inventory import Inventory
from exporter.collect.limiter import Priority
from exporter.collect.list_reader import MAX_UPDATE_WINDOWS, ListReader
from exporter.collect.listing import Fresh, IncompleteReadingError, Plan, Reading, UnstableOrderError
from exporter.collect.requests import AppRequests

ROWS_TO_MEET: Final = 1000
"""The last reading of the front ends at rows that were among so many of the pass's first ones."""

LEAST_ROWS_WITHOUT_END: Final = 5000

MAX_PASSES_WITHOUT_OVERLAP: Final = 4


class WholeReading(msgspec.Struct):
    """What all passes of one sweep brought."""

    began: float
    """Monotonic seconds."""
    seen: set[str] = msgspec.field(default_factory=set)
    fresh: dict[str, Fresh] = msgspec.field(default_factory=dict)
    fresh_below_front: set[str] = msgspec.field(default_factory=set)
    windows: int = 0
    duplicate_rows: int = 0
    rows_without_task_id: int = 0
    length: int | None = None
    """The number of rows of the list, by the position of its end."""
    overlapped: bool = True
    """Whether the windows of the last pass shared rows, so that they prove that they are of one list."""
    agrees: bool = False
    """Whether what was read agrees with itself: False where the list has no stable order."""
    proves_absence: bool = False
    """Whether what it did not show is not in the list: nothing moved from its first request to its last one."""

    def add(self, reading: Reading, front: Reading | None) -> None:
        """Add what a pass brought, and the reading of the front after it."""
        self.seen |= reading.seen
        if reading.overlapped or self.agrees:  # else its pages may not be of one list
            self.fresh.update(reading.fresh)
            self.fresh_below_front |= reading.fresh_below_front
        if front is not None:
            self.fresh.update(front.fresh)
        self.windows += reading.windows
        self.duplicate_rows += reading.duplicate_rows
        self.rows_without_task_id = reading.rows_without_task_id
        self.length = reading.length
        self.overlapped = reading.overlapped


class SweepReader:
    """Reads the list of one app whole.

    Args:
        reader: reads single passes.
        requests: brings windows.
        clock: for the wait before the front is read again.
    """

    def __init__(self, reader: ListReader, requests: AppRequests, clock: Clock) -> None:
        self._reader = reader
        self._requests = requests
        self._seen_in_front = set[str]()
        self._clock = clock

    async def read(self, inventory: Inventory, seen_in_front: set[str]) -> WholeReading:
        """Read all of the list.

        Args:
            inventory: the tasks that are known.
            seen_in_front: what updates see meanwhile; what the last readings of the front see is added to it.

        Raises:
            ApiError: a request failed, a page can't be right, or there are too many tasks.
            IncompleteReadingError: the list moved too fast.
        """
        whole = WholeReading(began=self._clock.monotonic())
        self._seen_in_front = seen_in_front
        previous: Reading | None = None
        unstable: UnstableOrderError | None = None
        for plan in self._plans(max(LEAST_ROWS_WITHOUT_END, 2 * len(inventory))):
            try:
                reading = await self._reader.read_all(
                    self._requests.window(Priority.SWEEP),
                    inventory.task_id_of,
                    expected_tasks=len(inventory),
                    plan=plan,
                )
                front = None
                if not reading.one_answer and not reading.unexplained_rows:
                    front = await self._read_front_again(inventory, reading)
            except UnstableOrderError as error:
                unstable = error
                continue
            whole.agrees = self._agrees(inventory, reading, previous, whole.seen | seen_in_front)
            whole.add(reading, front)
            if whole.agrees:
                whole.proves_absence = _proves_absence(reading, front)
                break
            previous = reading
        if previous is None and unstable is not None and not whole.agrees:
            raise unstable
        return whole

    def _plans(self, most_rows: int) -> Iterator[Plan]:
        """Yield how each pass shall choose its windows, as long as none agrees with itself.

        Args:
            most_rows: after so many rows, pages of one size are taken for a list without an end.
        """
        yield Plan.overlapping(self._reader.largest_page)
        plan = self._reader.plan
        if plan.overlap == 0:
            for _ in range(MAX_PASSES_WITHOUT_OVERLAP - 1):
                yield plan
        else:
            yield Plan(plan.largest_page, 0, most_rows=most_rows)
            yield Plan(plan.largest_page, plan.largest_page // 2 - 1)

    async def _read_front_again(self, inventory: Inventory, reading: Reading) -> Reading:
        """Read what jumped to the front while a pass ran, as even a replica that lags knows it."""
        while (early := reading.ended + REPLICA_LAG_SECONDS - self._clock.monotonic()) > 0:
            await self._clock.sleep(early)
        known: Mapping[int, str] = {}
        if not len(inventory):
            known = {fresh.task.row_digest: task_id for task_id, fresh in reading.fresh.items()}
        front = await self._reader.read_front(
            self._requests.window(Priority.UPDATE),
            lambda digest: known.get(digest) or inventory.task_id_of(digest),
            at_most_windows=max(MAX_UPDATE_WINDOWS, reading.windows),
            down_to=reading.digests[:ROWS_TO_MEET],
        )
        if not (front.complete or front.anchored):
            raise IncompleteReadingError(
                f"more tasks are updated than {front.windows} pages at the front show: "
                "raise requests_per_second, or collect fewer apps with this account"
            )
        self._seen_in_front |= front.seen
        return front

    def _agrees(self, inventory: Inventory, reading: Reading, previous: Reading | None, seen_before: set[str]) -> bool:
        """Whether a pass has seen every task of the list.

        It has where it saw as many as the list is long; where no two windows can share a row, or pages are short
        within the list, another pass must have seen the same ones. It also has where another pass with other windows
        found the same row at every position: then the order is stable, and what is missing are second rows of the same
        tasks.

        Args:
            inventory: what is known.
            reading: the pass.
            previous: the pass before.
            seen_before: what passes and updates saw, but for this pass.
        """
        if previous is not None and previous.digests == reading.digests:
            return True
        if reading.unexplained_rows:
            return False
        if reading.length is None:
            return previous is not None and reading.seen | self._seen_in_front == seen_before
        if reading.plan.overlap == 0 and not reading.one_answer:
            moved = self._seen_in_front
            if previous is None or not (reading.seen ^ previous.seen) <= moved:
                return False
        missing = reading.length - reading.rows_without_task_id - reading.doubled_rows
        missing -= len(reading.seen | self._seen_in_front)
        if missing > 0:
            missing -= sum(
                entry.task.task_id not in reading.seen and entry.task.task_id not in self._seen_in_front
                for entry in inventory
            )
        return missing <= 0


def _proves_absence(reading: Reading, front: Reading | None) -> bool:
    """Whether a list that did not change was read whole, so that a task that it does not show is gone."""
    if not (reading.undisturbed and reading.overlapped and len(reading.seen) == reading.length):
        return False
    return reading.one_answer or (front is not None and front.first_digests == reading.first_digests)
