"""One page of very many things, found without holding up anyone else for long."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from itertools import count, islice
from typing import Any, Final, Generic, TypeAlias, TypeVar

from msgspec import Struct

PAGE_ROWS: Final = 50
AT_ONCE: Final = 2000
"""So many are looked at before others run: about two milliseconds."""

T = TypeVar("T")

_Keyed: TypeAlias = tuple[Any, int, T]
"""A key, a number that tells equal keys apart, and the thing that has them."""


class Page(Struct, Generic[T], frozen=True):
    """Some of the things that are asked for."""

    rows: Sequence[T]
    number: int
    """From 1."""
    matching: int
    """How many there are on all pages."""
    page_rows: int = PAGE_ROWS

    @property
    def pages(self) -> int:
        """How many pages there are: one where there is nothing."""
        return max(1, -(-self.matching // self.page_rows))

    @property
    def first(self) -> int:
        """The number of its first row among all, from 1."""
        return (self.number - 1) * self.page_rows + 1

    @property
    def last(self) -> int:
        """The number of its last row among all."""
        return self.first + len(self.rows) - 1


async def page_of(
    things: Iterable[T],
    number: int,
    *,
    key: Callable[[T], Any],
    wanted: Callable[[T], bool] | None = None,
    descending: bool = False,
    page_rows: int = PAGE_ROWS,
) -> Page[T]:
    """Return a page of the things that are wanted, in the order of a key; beyond the last page, the last one.

    Args:
        things: Must not change while others run.
        number: Which page, from 1.
        key: Orders them.
        wanted: Tells which things are asked for; None: all of them.
        descending: Whether the greatest stands first.
        page_rows: How many a page has.
    """
    runs: list[list[_Keyed[T]]] = []
    places = count()
    for chunk in chunks(things):
        kept = chunk if wanted is None else list(filter(wanted, chunk))
        runs.append(sorted(zip(map(key, kept), places, kept, strict=False), reverse=descending))
        await asyncio.sleep(0)
    matching = sum(map(len, runs))
    number = min(number, max(1, -(-matching // page_rows)))
    first = (number - 1) * page_rows
    last = min(first + page_rows, matching)
    if first < matching - last:
        rows = await _slice(merge(*runs, reverse=descending), first, last)
    else:
        # From the nearer end: that is less to pass over.
        backwards = merge(*(reversed(run) for run in runs), reverse=not descending)
        rows = (await _slice(backwards, matching - last, matching - first))[::-1]
    return Page[T]([one for _, _, one in rows], number, matching, page_rows)


async def _slice(things: Iterator[T], start: int, stop: int) -> list[T]:
    """Return the things from one place to another, letting others run on the way."""
    for _ in chunks(islice(things, start)):
        await asyncio.sleep(0)
    return list(islice(things, stop - start))


def chunks(things: Iterable[T]) -> Iterator[list[T]]:
    """Yield the things in portions, between which others can run."""
    rest = iter(things)
    while chunk := list(islice(rest, AT_ONCE)):
        yield chunk
