"""Numbers that the exporter counts about itself, by label values.

They are as plain as can be, since each scrape reads all of them anew.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from exporter.metrics.family import Declaration, Distribution, LabelValues, Sample


class Table:
    """The series of one family of counters, gauges or infos."""

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration
        self._values: dict[LabelValues, float] = {}

    def begin(self, *labels: str) -> None:
        """Let a counter exist, at 0 unless it has counted before."""
        self._values.setdefault(labels, 0)

    def count(self, *labels: str) -> None:
        """Add 1 to a counter that exists."""
        if labels in self._values:
            self._values[labels] += 1

    def set(self, value: float, *labels: str) -> None:
        """Let a gauge have a value."""
        self._values[labels] = value

    def forget(self, *labels: str) -> None:
        """Drop all series whose first labels have these values; without any, all of them."""
        self._values = {key: value for key, value in self._values.items() if key[: len(labels)] != labels}

    def samples(self) -> Iterator[Sample]:
        """Yield all series."""
        yield from self._values.items()


class HistogramTable:
    """The series of one family of histograms.

    Args:
        declaration: The family.
        bounds: The buckets' upper bounds, rising, without infinity.
    """

    def __init__(self, declaration: Declaration, bounds: tuple[float, ...]) -> None:
        self.declaration = declaration
        self._bounds = bounds
        self._buckets: dict[LabelValues, list[int]] = {}
        self._totals: dict[LabelValues, float] = {}

    def begin(self, *labels: str) -> None:
        """Let a histogram exist, empty unless it has counted before."""
        self._buckets.setdefault(labels, [0] * (len(self._bounds) + 1))
        self._totals.setdefault(labels, 0.0)

    def observe(self, value: float, *labels: str) -> None:
        """Count a value in a histogram that exists."""
        if labels in self._buckets:
            self._buckets[labels][bisect_left(self._bounds, value)] += 1
            self._totals[labels] += value

    def forget(self, *labels: str) -> None:
        """Drop all series whose first labels have these values."""
        for key in [key for key in self._buckets if key[: len(labels)] == labels]:
            del self._buckets[key], self._totals[key]

    def samples(self) -> Iterator[Sample]:
        """Yield all series."""
        for labels, counts in self._buckets.items():
            yield labels, Distribution(self._bounds, tuple(accumulate(counts)), self._totals[labels])
