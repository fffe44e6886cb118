"""Order and pages of very many items, found in slices between which the event loop runs."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import count, islice
from typing import Any, Final, Generic, TypeAlias, TypeVar

from msgspec import Struct

from exporter.web.responses import json_text

PAGE_ROWS: Final = 50
AT_ONCE: Final = 2000
"""Items between two turns of the event loop: about two milliseconds."""
LARGEST_PAGE_BYTES: Final = 2 * 1024 * 1024
ITEMS_AT_ONCE: Final = 50
BYTES_AT_ONCE: Final = 128 * 1024

T = TypeVar("T")
Item = TypeVar("Item", bound=Mapping[str, Any])
_Keyed: TypeAlias = tuple[Any, int, T]
"""A key, a number that orders equal keys, and the item."""


class Ordered(Generic[T]):
    """The matching ones of very many items, in order."""

    def __init__(self, runs: Sequence[list[_Keyed[T]]], *, descending: bool) -> None:
        self._runs = runs
        self._descending = descending
        self.matching = sum(map(len, runs))

    async def rows(self, first: int, last: int) -> list[T]:
        """Return the items from one place to another, counted from 0, merged from the nearer end."""
        last = min(last, self.matching)
        if first < self.matching - last:
            found = await _part(merge(*self._runs, reverse=self._descending), first, last)
        else:
            backwards = merge(*(reversed(run) for run in self._runs), reverse=not self._descending)
            found = (await _part(backwards, self.matching - last, self.matching - first))[::-1]
        return [item for _, _, item in found]


async def ordered(
    items: Iterable[T],
    *,
    key: Callable[[T], Any],
    wanted: Callable[[T], bool] | None = None,
    descending: bool = False,
) -> Ordered[T]:
    """Sort the items that are wanted, letting the event loop run between slices.

    Args:
        items: Must not change meanwhile.
        key: Orders them.
        wanted: Whether an item matches; None: all do.
        descending: Whether the greatest is first.
    """
    runs: list[list[_Keyed[T]]] = []
    places = count()
    for part in slices(items):
        if runs:
            await asyncio.sleep(0)
        kept = part if wanted is None else list(filter(wanted, part))
        runs.append(sorted(zip(map(key, kept), places, kept, strict=False), reverse=descending))
    return Ordered(runs, descending=descending)


class NumberedPage(Struct, Generic[T], frozen=True):
    """Some rows of a table."""

    rows: Sequence[T]
    number: int
    """From 1."""
    matching: int
    """Rows on all pages."""
    page_rows: int = PAGE_ROWS

    @property
    def pages(self) -> int:
        """Number of pages, at least 1."""
        return max(1, -(-self.matching // self.page_rows))

    @property
    def first(self) -> int:
        """Number of the first row among all, from 1."""
        return (self.number - 1) * self.page_rows + 1

    @property
    def last(self) -> int:
        """Number of the last row among all."""
        return self.first + len(self.rows) - 1


async def numbered_page(
    found: Ordered[T], number: int, row: Callable[[T], Any] = lambda item: item, page_rows: int = PAGE_ROWS
) -> NumberedPage[Any]:
    """Return a page of rows; beyond the last page, the last one."""
    number = min(number, max(1, -(-found.matching // page_rows)))
    rows = await found.rows((number - 1) * page_rows, number * page_rows)
    return NumberedPage(list(map(row, rows)), number, found.matching, page_rows)


async def _part(items: Iterator[T], start: int, stop: int) -> list[T]:
    for _ in slices(islice(items, start)):
        await asyncio.sleep(0)
    return list(islice(items, stop - start))


def slices(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield the items in portions, between which the event loop can run."""
    rest = iter(items)
    while part := list(islice(rest, AT_ONCE)):
        yield part


class Listing(Struct, Generic[Item], frozen=True):
    """A page of JSON items, followed by a cursor."""

    name: str
    """Key of the items in the response."""
    items: Iterator[Item]
    """Each is made when it is written."""
    has_more: bool
    """Whether items follow these."""
    cursor_of: Callable[[Item], str]
    """Returns the cursor of the page behind an item."""
    also: Mapping[str, Any] = {}
    """Other keys of the response."""


async def listing_text(listing: Listing[Item], *, largest_bytes: int = LARGEST_PAGE_BYTES) -> str:
    """Return a response as JSON, which ends early where the items would exceed `largest_bytes`.

    It has at least one item if there is any, so that following the cursors always ends.
    """
    texts: list[str] = []
    size, since_pause = 0, 0
    has_more, last = listing.has_more, None
    for item in listing.items:
        text = json_text(item)
        size += len(text)
        if last is not None and size > largest_bytes:
            has_more = True
            break
        texts.append(text)
        last = item
        since_pause += len(text)
        if since_pause >= BYTES_AT_ONCE or len(texts) % ITEMS_AT_ONCE == 0:
            since_pause = 0
            await asyncio.sleep(0)
    next_cursor = listing.cursor_of(last) if has_more and last is not None else None
    ending = json_text({**listing.also, "next_cursor": next_cursor})
    return f'{{"{listing.name}": [{", ".join(texts)}], {ending[1:]}'
