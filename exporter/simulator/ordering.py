"""Rows in the order of the list: newest update first, with cheap moves to the front and cheap pages.

The order is kept in blocks of a few hundred rows. A move touches two blocks; a page is found by adding up lengths.
"""

from collections.abc import Iterator
from typing import Final

BLOCK_ROWS: Final = 256


class Row:
    """One task as it stands in the list."""

    __slots__ = ("block", "body", "marks", "stopped", "task_id", "updated_at")

    def __init__(self, task_id: str, body: bytes, updated_at: float, marks: tuple[str, ...] = ()) -> None:
        self.task_id = task_id
        self.body = body
        """Its JSON, ready to be joined into a page."""
        self.updated_at = updated_at
        """Seconds of the fleet's clock; nothing in the JSON says it."""
        self.marks = marks
        """Names of what is wrong with it on purpose."""
        self.stopped = False
        """Stopped, though still listed."""
        self.block: list[Row] = []


class RecencyOrder:
    """The order itself: rows by place, 0 being the newest."""

    def __init__(self) -> None:
        self._blocks: list[list[Row]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        for block in self._blocks:
            yield from block

    def add_in_front(self, row: Row) -> None:
        """Put a row that is not in the order before all others."""
        if not self._blocks or len(self._blocks[0]) >= BLOCK_ROWS:
            self._blocks.insert(0, [])
        row.block = self._blocks[0]
        row.block.insert(0, row)
        self._count += 1

    def remove(self, row: Row) -> None:
        """Take a row out of the order."""
        row.block.remove(row)
        self._count -= 1
        if not row.block:
            self._blocks.remove(row.block)
        elif len(self._blocks) > 2 * (self._count // BLOCK_ROWS) + 8:
            self._repack()

    def slice(self, start: int, stop: int) -> list[Row]:
        """Return the rows at the places from `start` up to, and without, `stop`."""
        rows: list[Row] = []
        for block in self._blocks:
            if stop <= 0:
                break
            if start < len(block):
                rows += block[max(start, 0) : stop]
            start -= len(block)
            stop -= len(block)
        return rows

    def at(self, place: int) -> Row:
        """Return the row at `place`."""
        return self.slice(place, place + 1)[0]

    def _repack(self) -> None:
        """Fill the blocks again: moves leave old ones nearly empty."""
        rows = list(self)
        self._blocks = [rows[start : start + BLOCK_ROWS] for start in range(0, len(rows), BLOCK_ROWS)]
        for block in self._blocks:
            for row in block:
                row.block = block
