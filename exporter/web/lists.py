"""Order and pages of very many items, found in slices between which the event loop runs."""

import asyncio
import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from io import StringIO
from itertools import count, islice
from math import inf
from typing import Any, Final, Generic, TypeAlias, TypeVar

from msgspec import Struct, inspect, to_builtins
from msgspec.inspect import type_info

from exporter.web.responses import json_text

PAGE_ROWS: Final = 50
AT_ONCE: Final = 500  # items between two turns of the event loop: a few milliseconds at 10 us each
LARGEST_PAGE_BYTES: Final = 2 * 1024 * 1024
ITEMS_AT_ONCE: Final = 50
BYTES_AT_ONCE: Final = 128 * 1024

T = TypeVar("T")
_Keyed: TypeAlias = tuple[Any, int, T]  # a key, a number that orders equal keys, and the item


class Ordered(Generic[T]):
    """The matching ones of very many items, in order."""

    def __init__(self, runs: Sequence[list[_Keyed[T]]], *, descending: bool) -> None:
        self._runs = runs
        self._descending = descending
        self.matching = sum(map(len, runs))

    async def rows(self, first: int, last: int) -> list[T]:
        """Return the items from one place to another, as far as there are any, merged from the nearer end."""
        first, last = min(first, self.matching), min(last, self.matching)
        if first < self.matching - last:
            found = await _part(merge(*self._runs, reverse=self._descending), first, last)
        else:
            backwards = merge(*(reversed(run) for run in self._runs), reverse=not self._descending)
            found = (await _part(backwards, self.matching - last, self.matching - first))[::-1]
        return [item for _, _, item in found]


async def ordered(
    items: Iterable[T], *, key: Callable[[T], Any], wanted: Callable[[T], bool] | None = None, descending: bool = False
) -> Ordered[T]:
    """Sort the matching items, letting the event loop run between slices; `items` must not change until it returns."""
    runs: list[list[_Keyed[T]]] = []
    places = count()
    for part in slices(items):
        if runs:
            await asyncio.sleep(0)
        kept = part if wanted is None else list(filter(wanted, part))
        runs.append(sorted(zip(map(key, kept), places, kept, strict=False), reverse=descending))
    return Ordered(runs, descending=descending)


def absent_last(column: Callable[[T], Any], tie: Callable[[T], Any], *, descending: bool) -> Callable[[T], Any]:
    """Return a key that orders by a column, absent values last in both directions, and equal ones by `tie`."""

    def key(item: T) -> Any:
        value = column(item)
        return (value is not None) is descending, 0 if value is None else value, tie(item)

    return key


class NumberedPage(Struct, Generic[T], frozen=True):
    """Some rows of a table."""

    rows: Sequence[T]
    number: int  # from 1
    matching: int  # rows on all pages

    @property
    def pages(self) -> int:
        """Number of pages, at least 1."""
        return pages_of(self.matching)

    @property
    def first(self) -> int:
        """Number of the first row among all, from 1."""
        return (self.number - 1) * PAGE_ROWS + 1

    @property
    def last(self) -> int:
        """Number of the last row among all."""
        return self.first + len(self.rows) - 1


def pages_of(rows: int) -> int:
    """Return the number of pages that rows take, at least 1."""
    return max(1, -(-rows // PAGE_ROWS))


async def numbered_page(
    found: Ordered[T], number: int, row: Callable[[T], Any] = lambda item: item
) -> NumberedPage[Any]:
    """Return a page of rows; beyond the last page, the last one."""
    number = min(number, pages_of(found.matching))
    rows = await found.rows((number - 1) * PAGE_ROWS, number * PAGE_ROWS)
    return NumberedPage(list(map(row, rows)), number, found.matching)


async def _part(items: Iterator[T], start: int, stop: int) -> list[T]:
    for _ in slices(islice(items, start)):
        await asyncio.sleep(0)
    return list(islice(items, stop - start))


def slices(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield the items in portions, between which the event loop can run."""
    rest = iter(items)
    while part := list(islice(rest, AT_ONCE)):
        yield part


class Listing(Struct, frozen=True):
    """A page of documents, followed by a cursor."""

    name: str  # key of the items in the response
    kind: type[Struct]  # class of the items; its fields are the columns of a table
    rows: Iterable[Any]  # of the page, and at least one more if others follow
    document: Callable[[Any], Struct]  # makes the item of a row, when it is written
    limit: float = inf  # of rows on the page
    cursor_of: Callable[[Any], str] | None = None
    """Returns the cursor of the page behind a row; None: there is one page."""
    also: Mapping[str, Any] = {}  # other keys of the response


async def listing_text(listing: Listing, *, largest_bytes: int = LARGEST_PAGE_BYTES) -> str:
    """Return a page as JSON."""
    texts, cursor = await _written(listing, json_text, largest_bytes)
    ending = json_text({**listing.also, **({} if listing.cursor_of is None else {"next_cursor": cursor})})
    items = f'{{"{listing.name}": [{", ".join(texts)}]'
    return f"{items}}}" if ending == "{}" else f"{items}, {ending[1:]}"


async def listing_csv(listing: Listing) -> tuple[str, str | None]:
    """Return a page as CSV with a heading, and the cursor of the next one; nested fields are `outer.inner`."""
    columns = list(_columns(type_info(listing.kind)))
    rows, cursor = await _written(
        listing, lambda item: _csv_row(_cells(to_builtins(item), columns)), LARGEST_PAGE_BYTES
    )
    return _csv_row(map(".".join, columns)) + "".join(rows), cursor


async def _written(
    listing: Listing, write: Callable[[Any], str], largest_bytes: int
) -> tuple[Sequence[str], str | None]:
    """Return the items as texts and the next cursor: at least one, and no more than `largest_bytes` otherwise."""
    texts: list[str] = []
    size, since_pause, last = 0, 0, None
    for row in listing.rows:
        is_full = len(texts) >= listing.limit
        text = "" if is_full else write(listing.document(row))
        size += len(text)
        if texts and listing.cursor_of is not None and (is_full or size > largest_bytes):
            return texts, listing.cursor_of(last)
        texts.append(text)
        last = row
        since_pause += len(text)
        if since_pause >= BYTES_AT_ONCE or len(texts) % ITEMS_AT_ONCE == 0:
            since_pause = 0
            await asyncio.sleep(0)
    return texts, None


def _columns(kind: inspect.Type, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        kind = next((one for one in kind.types if isinstance(one, inspect.StructType)), kind)
    if not isinstance(kind, inspect.StructType):
        yield path
        return
    for field in kind.fields:
        yield from _columns(field.type, (*path, field.encode_name))


def _cells(item: Any, columns: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for path in columns:
        value = item
        for name in path:
            value = None if value is None else value.get(name)
        yield _cell(value)


def _cell(value: Any) -> str:
    """Return a value as text; what a spreadsheet would take for a formula gets an apostrophe in front."""
    if value is None:
        return ""
    if isinstance(value, list):
        value = " ".join(one if isinstance(one, str) else json_text(one) for one in value)
    if isinstance(value, str):
        return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
    return json_text(value)


def _csv_row(cells: Iterable[str]) -> str:
    line = StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
