"""Reads one app's list, whole or its front, while the list moves.

The list is sorted by update, newest first. A row that is updated or created jumps to the front and pushes others
back; a deleted one lets those below slide forward. Two facts prove that nothing was missed:

* Windows overlap (see `windows`): a window that shares a row with what was read before it leaves no hole. One that
  does not is a gap, and the pass steps back until it meets known rows (see `list_pass`).
* What jumped to the front while the rest was read is found by reading the front once more (see `sweep_reader`).

A reader knows nothing of deadlines, retries and budgets: it asks `fetch` for windows.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from exporter.collect.list_pass import ListPass
from exporter.collect.listing import Answer, Fetch, Plan, Reading, Rows, TaskIdOf
from exporter.collect.together import cancel_all
from exporter.collect.windows import LARGEST_PAGE, Window

IN_FLIGHT: Final = 16

MAX_UPDATE_WINDOWS: Final = 24
"""An update that finds no anchor in so many windows leaves the rest to a sweep."""


class ListReader:
    """Reads the list of one app, whole or its front."""

    def __init__(
        self,
        rows: Rows,
        *,
        monotonic: Callable[[], float],
        max_tasks: int,
        largest_page: int = LARGEST_PAGE,
    ) -> None:
        self._rows = rows
        self._monotonic = monotonic
        self.max_tasks = max_tasks
        self.largest_page = largest_page
        """Of which sweeps begin with."""
        self.plan = Plan.overlapping(largest_page)
        """How the service can be read, by the last complete pass."""

    async def read_front(
        self,
        fetch: Fetch,
        task_id_of: TaskIdOf,
        *,
        at_most_windows: int = MAX_UPDATE_WINDOWS,
        down_to: Sequence[int] = (),
    ) -> Reading:
        """Read from the front to rows that are known and unchanged, or to the end.

        A reading that is neither complete nor anchored is true as far as it goes; the rest is a sweep's.

        Args:
            fetch: brings one window.
            task_id_of: tells known rows.
            at_most_windows: how many may be asked for.
            down_to: digests of an earlier reading, from the front down. Not empty: the known rows that end the reading
                must be some of these, in the same order, so that all that moved since is above them; in its last
                window any will do.

        Raises:
            ApiError: a request failed, or a page can't be right.
            IncompleteReadingError: the list moved too fast.
        """
        front = self._pass(task_id_of, self.plan, to_the_end=False)
        places = {digest: place for place, digest in enumerate(down_to)}
        reading = front.reading
        while not (reading.complete or reading.anchored) and reading.windows < at_most_windows:
            window = front.next_window()
            await front.follow(window, fetch(window))
            meets_rows = not places or reading.windows == at_most_windows or front.ends_in_order_of(places)
            reading.anchored = meets_rows and front.ends_in_known_rows
        return reading

    async def read_all(self, fetch: Fetch, task_id_of: TaskIdOf, *, expected_tasks: int, plan: Plan) -> Reading:
        """Read the whole list in one pass, several requests in flight.

        Args:
            fetch: brings one window.
            task_id_of: tells known rows.
            expected_tasks: how many there were last time, 0 where nobody knows: hardly a request is spent in advance
                on what probably does not exist.
            plan: which windows are asked for.

        Raises:
            ApiError: a request failed, a page can't be right, or there are more tasks than `max_tasks`.
            IncompleteReadingError: the list moved too fast.
        """
        whole = self._pass(task_id_of, plan, to_the_end=True)
        ahead: deque[tuple[Window, asyncio.Future[Answer]]] = deque()
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
        """How many requests may be in flight: many where rows were last time, few beyond them.

        Where the service was seen to give smaller pages than it is asked for, the first one says whether it still does.
        """
        seems_capped = self.plan.largest_page < whole.reading.largest_page
        if not whole.may_ask_ahead or (seems_capped and not whole.reading.digests):
            return 1
        if whole.planned < expected_tasks:
            return IN_FLIGHT
        return 1 if expected_tasks else max(1, min(IN_FLIGHT, whole.reading.windows))

    def _pass(self, task_id_of: TaskIdOf, plan: Plan, *, to_the_end: bool) -> ListPass:
        return ListPass(
            self._rows,
            task_id_of,
            plan,
            monotonic=self._monotonic,
            max_tasks=self.max_tasks,
            to_the_end=to_the_end,
        )
