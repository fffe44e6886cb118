"""How a benchmark says what it measured: a table, each figure with what it is compared with."""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence

from rich.console import Console
from rich.table import Table

WIDTH = 110


def median_seconds(work: Callable[[], object], *, runs: int) -> float:
    """Return the median time of some runs, after one that does not count."""
    work()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share (0 to 1) of the values lie."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, note: str = "") -> None:
    """Print a table whose first column is text and whose others are figures."""
    table = Table(title=title, caption=note or None, title_justify="left", caption_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    for row in rows:
        table.add_row(*map(str, row))
    Console(width=WIDTH).print(table)


def milliseconds(seconds: float) -> str:
    """Write a time with as many digits as say something."""
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds * 1e3:,.0f} ms"


def times(ratio: float) -> str:
    """Write how many times as much something is."""
    return f"{ratio:,.2f} x" if ratio < 10 else f"{ratio:,.0f} x"
