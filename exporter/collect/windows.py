"""Which part of a list one request reads: windows that overlap, so that a list that moves shows it.

PageNo and PageSize can only ask for [(PageNo - 1) x PageSize, PageNo x PageSize). With one PageSize the pages meet
without overlap, and a row that slides over a border between two requests is missed without a trace. With a PageSize
chosen for each request, the next window starts a few rows before the last one ended: as long as the two share a row,
nothing can have slipped between them. That costs about a sixth more requests.
"""

from functools import lru_cache
from typing import Final, NamedTuple

LARGEST_PAGE: Final = 100
"""The vendor's limit of PageSize."""


class Window(NamedTuple):
    """What one request asks for."""

    page_no: int
    page_size: int

    @property
    def start(self) -> int:
        """The position of the first row, from 0."""
        return (self.page_no - 1) * self.page_size

    @property
    def end(self) -> int:
        """The position behind the last row."""
        return self.page_no * self.page_size

    def following(self) -> "Window":
        """The next page of the same size."""
        return Window(self.page_no + 1, self.page_size)


@lru_cache(maxsize=65_536)
def window_after(reached: int, *, overlap: int, largest: int = LARGEST_PAGE) -> Window:
    """Return the window that reads farthest beyond `reached` and begins at least `overlap` rows before it.

    Args:
        reached: position up to which the list has been read; 0 at the beginning.
        overlap: rows to read again. 0: pages of one size, which meet. Where no PageSize gives so many, the most that
            it can be.
        largest: the largest PageSize.
    """
    if reached == 0 or overlap == 0:
        return Window(reached // largest + 1, largest)
    beyond = [Window(reached // size + 1, size) for size in range(largest, 0, -1)]
    joined = [window for window in beyond if reached - window.start >= overlap]
    if joined:
        return max(joined, key=lambda window: (window.end, window.page_size))
    return max(beyond, key=lambda window: (reached - window.start, window.page_size))


def window_behind(short: Window, end: int, *, overlap: int, largest: int) -> Window:
    """Return a window that shows whether a list goes on where a page was short.

    It is another one than the short page's, begins a few rows before the end where it can, and asks for no more rows
    than the service has shown to give at once.

    Args:
        short: what the short page was asked for as.
        end: the position behind its last row.
        overlap: about how many rows to read again.
        largest: the largest PageSize.
    """
    candidates = [Window(end // size + 1, size) for size in range(largest, 0, -1)]
    return max(
        (window for window in candidates if window != short),
        key=lambda window: (window.start > short.start, 1 <= end - window.start <= 2 * overlap, window.end),
        default=short.following(),
    )
