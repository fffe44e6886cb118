"""A page of 100 tasks: what its reading costs when rows are known, when they are new, and the plain way."""

import statistics
from collections.abc import Callable

from benchmarks.fleet import APP_ID, pages
from benchmarks.plain_decoding import decode
from benchmarks.report import median_seconds, milliseconds, show, times
from exporter.aliyun.interner import Interner
from exporter.aliyun.response import read_page, row_digest
from exporter.collector.reading import AppRows

PAGES = 10
RUNS = 15


def main() -> None:
    """Print the table."""
    answers = pages(PAGES * 100)
    size = statistics.mean(map(len, answers))
    known = {row_digest(row): "" for answer in answers for row in read_page(answer).rows}
    rows = AppRows(APP_ID, Interner())

    def look_up(answer: bytes) -> None:
        for row in read_page(answer).rows:
            known[rows.digest(row)]

    def read(answer: bytes) -> None:
        for row in read_page(answer).rows:
            rows.digest(row)
            rows.read(row)

    plain = _of_a_page(decode, answers)
    figures = [
        ("known rows: split, digest, look up", _of_a_page(look_up, answers)),
        ("new rows: split, digest, read, share", _of_a_page(read, answers)),
        ("json.loads + dataclasses by hand", plain),
    ]
    show(
        f"Decoding a page of 100 tasks, {size / 1000:.0f} kB",
        ("way", "a page", "as much as the plain way"),
        [(way, milliseconds(seconds), times(seconds / plain)) for way, seconds in figures],
        note="The plain way raises on the first odd value and keeps 13 kB a task; new rows tolerate and share.",
    )


def _of_a_page(way: Callable[[bytes], object], answers: list[bytes]) -> float:
    """Return the median time of a page."""

    def all_pages() -> None:
        for answer in answers:
            way(answer)

    return median_seconds(all_pages, runs=RUNS) / len(answers)
