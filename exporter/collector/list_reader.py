"""Reads one app's list, whole or its front, while the list moves.

Rows that are updated or created jump to the front and push others back; deletions let those below slide forward. Two
facts prove that nothing was missed: windows overlap (see `list_pass`), and what jumped to the front while the rest was
read is found by reading the front once more (see `SweepReader`).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from exporter.collector.inventory import Inventory
from exporter.collector.list_pass import ListPass
from exporter.collector.rate_limiter import Priority
from exporter.collector.reading import (
    LARGEST_PAGE,
    REPLICA_LAG_SECONDS,
    AppRows,
    Fetch,
    IncompleteReadingError,
    Plan,
    Reading,
    TaskIdOf,
    UnstableOrderError,
    Window,
    WindowAnswer,
)
from exporter.collector.requests import AppRequests, cancel_all
from exporter.core.clock import Clock

IN_FLIGHT: Final = 16

MAX_UPDATE_WINDOWS: Final = 24  # an update that finds no anchor in this many windows leaves the rest to a sweep


class ListReader:
    """Reads the list of one app, whole or its front."""

    def __init__(
        self, rows: AppRows, *, monotonic: Callable[[], float], max_tasks: int, largest_page: int = LARGEST_PAGE
    ) -> None:
        self._pass = partial(ListPass, rows, monotonic=monotonic)
        self.max_tasks = max_tasks
        self.largest_page = largest_page  # of which sweeps begin with
        self.plan = Plan.overlapping(largest_page)  # how the service can be read, by the last complete pass

    async def read_front(
        self,
        fetch: Fetch,
        task_id_of: TaskIdOf,
        *,
        at_most_windows: int = MAX_UPDATE_WINDOWS,
        down_to: Sequence[int] = (),
        plan: Plan | None = None,
    ) -> Reading:
        """Read from the front to rows that are known and unchanged, or to the end.

        A reading that is neither complete nor anchored is true as far as it goes. If `down_to` has digests of an
        earlier reading, from the front down, the rows that end this one must be among these, in the same order: all
        that moved since is above them. Raises ApiError, or IncompleteReadingError if the list moved too fast.
        """
        front = self._pass(task_id_of, plan or self.plan, max_tasks=self.max_tasks, to_the_end=False)
        places = {digest: place for place, digest in enumerate(down_to)}
        reading = front.reading
        while not (reading.complete or reading.anchored) and reading.windows < at_most_windows:
            window = front.next_window()
            await front.follow(window, fetch(window))
            gathered = front.gathered
            reading.anchored = gathered.ends_in_known_rows and (not places or gathered.ends_in_order_of(places))
        return reading

    async def read_all(self, fetch: Fetch, task_id_of: TaskIdOf, *, expected_tasks: int, plan: Plan) -> Reading:
        """Read the list whole (`expected_tasks` 0: not known); raises ApiError, IncompleteReadingError if it moved."""
        whole = self._pass(task_id_of, plan, max_tasks=self.max_tasks, to_the_end=True)
        ahead: deque[tuple[Window, asyncio.Future[WindowAnswer]]] = deque()
        try:
            while not whole.reading.complete:
                while len(ahead) < self._worth_asking_ahead(whole, expected_tasks):
                    window = whole.next_window()
                    ahead.append((window, asyncio.ensure_future(fetch(window))))
                as_planned = await whole.follow(*ahead.popleft())
                if not as_planned:
                    await cancel_all(request for _, request in ahead)
                    ahead.clear()
        finally:
            await cancel_all(request for _, request in ahead)
        self.plan = whole.reading.plan
        return whole.reading

    def _worth_asking_ahead(self, whole: ListPass, expected_tasks: int) -> int:
        """How many requests may be in flight: many where rows were last time, few beyond them."""
        seems_capped = self.plan.largest_page < whole.reading.largest_page
        if not whole.may_ask_ahead or (seems_capped and not whole.reading.digests):
            return 1
        if whole.planned < expected_tasks:
            return IN_FLIGHT
        return 1 if expected_tasks else max(1, min(IN_FLIGHT, whole.reading.windows))


ROWS_TO_MEET: Final = 20_000
"""The last reading of the front ends at rows that were among this many of the pass's first ones."""

FRONTS_WITHOUT_NEWS: Final = 2
"""After this many readings of the front, one that shows no task for the first time is the last one."""

LEAST_ROWS_WITHOUT_END: Final = 5000

MAX_PASSES_WITHOUT_OVERLAP: Final = 4


class WholeReading(Reading):
    """What all passes of one sweep brought; its digests are those of the last pass."""

    agrees: bool = False  # whether what was read agrees with itself: False where the list has no stable order
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
        self.duplicate_rows += reading.duplicate_rows
        self.rows_without_task_id = reading.rows_without_task_id
        self.length = reading.length
        self.overlapped = reading.overlapped
        self.digests = reading.digests


class SweepReader:
    """Reads the list of one app whole."""

    def __init__(self, reader: ListReader, requests: AppRequests, inventory: Inventory, clock: Clock) -> None:
        self._reader = reader
        self._requests = requests
        self._inventory = inventory
        self._seen_in_front = set[str]()
        self._confirm = False
        """Whether a pass saw enough tasks in windows that share no rows, so that the same pass must confirm it."""
        self._clock = clock

    async def read(self, seen_in_front: set[str]) -> WholeReading:
        """Read the whole list, and the front after it; raises ApiError, or IncompleteReadingError if it moved."""
        inventory, whole = self._inventory, WholeReading(began=self._clock.monotonic())
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
                    front = await self._read_front_again(reading, plan)
            except UnstableOrderError as error:
                unstable = error
                continue
            whole.agrees = self._agrees(reading, previous, whole.seen | seen_in_front)
            whole.add(reading, front)
            if whole.agrees:
                if previous is not None and not (previous.overlapped or reading.overlapped):
                    # A deletion may have hidden a task from this pass that only the one before showed.
                    whole.fresh = previous.fresh | whole.fresh
                whole.proves_absence = _proves_absence(reading, front, previous)
                break
            previous = reading
        if previous is None and unstable is not None and not whole.agrees:
            raise unstable
        return whole

    def _plans(self, most_rows: int) -> Iterator[Plan]:
        """Yield how each pass shall choose its windows, up to `most_rows`, as long as none agrees with itself."""
        yield Plan.overlapping(self._reader.largest_page)
        plan = self._reader.plan
        if plan.overlap == 0:
            for _ in range(MAX_PASSES_WITHOUT_OVERLAP - 1):
                yield plan
        else:
            self._confirm = False
            yield Plan(plan.largest_page, 0, most_rows=most_rows)
            if self._confirm:
                yield Plan(plan.largest_page, 0, most_rows=most_rows)
            yield Plan(plan.largest_page, plan.largest_page // 2 - 1)

    async def _read_front_again(self, reading: Reading, plan: Plan) -> Reading:
        """Read what jumped to the front while a pass ran, as even a replica that lags knows it.

        Repeated until one answer shows all that moved: what jumps meanwhile is above. The first reading is returned,
        with what the others found.
        """
        while (early := reading.ended + REPLICA_LAG_SECONDS - self._clock.monotonic()) > 0:
            await self._clock.sleep(early)
        known: dict[int, str] = {}
        if not len(self._inventory):
            known = {fresh.row_digest: task_id for task_id, fresh in reading.fresh.items()}

        def task_id_of(digest: int) -> str | None:
            return known.get(digest) or self._inventory.task_id_of(digest)

        fetch = self._requests.window(Priority.UPDATE)
        # As the pass was read: the order of rows of equal update times may depend on PageSize.
        front_plan = reading.plan if plan == Plan.overlapping(plan.largest_page) else plan._replace(most_rows=None)
        windows_left = max(MAX_UPDATE_WINDOWS, 2 * reading.windows)
        fronts: list[Reading] = []
        while windows_left > 0:
            last = fronts[-1] if fronts else reading
            front = await self._reader.read_front(
                fetch, task_id_of, at_most_windows=windows_left, down_to=last.digests[:ROWS_TO_MEET], plan=front_plan
            )
            if not (front.complete or front.anchored):
                break
            brings_new = not front.seen <= reading.seen | self._seen_in_front
            windows_left -= front.windows
            self._seen_in_front |= front.seen
            known |= {fresh.row_digest: task_id for task_id, fresh in front.fresh.items()}
            fronts.append(front)
            half = len(front.first_digests) // 2
            still = half > 0 and front.first_digests[:half] == last.first_digests[:half]
            if front.windows == 1 or still or (len(fronts) > FRONTS_WITHOUT_NEWS and not brings_new):
                for other in fronts[1:]:
                    fronts[0].fresh |= other.fresh
                return fronts[0]
        raise IncompleteReadingError(
            "tasks are updated faster than pages at the front can show them: "
            "raise requests_per_second, or collect fewer apps with this account"
        )

    def _agrees(self, reading: Reading, previous: Reading | None, seen_before: set[str]) -> bool:
        """Whether a pass has seen every task of the list; `seen_before` is what updates and other passes saw.

        It has where it saw as many as the list is long, in windows that share rows. Where they share none, the pass
        before must have seen the same tasks; where they never can, it must be the same row by row, since deletions hide
        rows between such windows. It also has where another pass with other windows found the same row at every
        position: the order is stable, and what is missing are second rows of the same tasks.
        """
        overlapped = reading.overlapped
        same = previous is not None and previous.digests == reading.digests
        if same and previous is not None and previous.overlapped != overlapped:
            return True
        if reading.unexplained_rows:
            return False
        if reading.length is None:
            return previous is not None and reading.seen | self._seen_in_front == seen_before
        if self._missing(reading, reading.length) > 0:
            return False
        joined = overlapped or reading.one_answer or not reading.unproven_borders
        self._confirm = not joined
        if joined or reading.plan.overlap == 0:
            return joined or same
        return previous is not None and not previous.overlapped and reading.seen <= previous.seen | self._seen_in_front

    def _missing(self, reading: Reading, length: int) -> int:
        seen = reading.seen | self._seen_in_front
        missing = length - reading.rows_without_task_id - reading.doubled_rows - len(seen)
        if missing > 0:
            missing -= sum(entry.task_id not in seen for entry in self._inventory)
        return missing


def _proves_absence(reading: Reading, front: Reading | None, previous: Reading | None) -> bool:
    """Whether a list that did not change was read whole, so that what it does not show is gone."""
    if len(reading.seen) != reading.length:
        return False
    is_again = previous is not None and previous.digests == reading.digests
    same = reading.undisturbed if reading.overlapped else is_again
    return same and (reading.one_answer or (front is not None and front.first_digests == reading.first_digests))
