"""What a metric family is: one declaration, from which the exposition, the documents and the tests derive."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Generic, Literal, TypeAlias, TypeVar

from msgspec import Struct

Kind: TypeAlias = Literal["gauge", "counter", "info", "histogram", "gaugehistogram"]
Stability: TypeAlias = Literal["stable", "alpha"]
Report = TypeVar("Report")


class Label(Struct, frozen=True):
    """One label of a family."""

    name: str
    values: tuple[str, ...] = ()  # all values that it can have, in the order of the documents; empty: any
    meaning: str = ""


class Declaration(Struct, frozen=True, kw_only=True):
    """One family as it is promised to those who scrape it."""

    name: str  # as its samples are named: a counter ends in `_total`, an info in `_info`
    kind: Kind
    help: str  # one sentence that says what a value means, with its unit
    labels: tuple[Label, ...] = ()
    stability: Stability = "stable"
    note: str = ""  # what the documents say beyond the help

    @property
    def openmetrics_name(self) -> str:
        """The family's name in OpenMetrics, where `_total` and `_info` belong to the samples alone."""
        suffix = {"counter": "_total", "info": "_info"}.get(self.kind, "")
        return self.name.removesuffix(suffix)

    @property
    def documentation(self) -> str:
        """The HELP text: the stability, then what it means."""
        return f"[{self.stability.upper()}] {self.help}"

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the labels in the order of the samples' values."""
        return tuple(label.name for label in self.labels)


class Distribution(Struct, frozen=True):
    """One gauge histogram: how many values lie at or below each bound, and their sum."""

    bounds: tuple[float, ...]  # Rising, without infinity
    counts: tuple[int, ...]  # Cumulative; one more than `bounds`, the last is the number of all values
    total: float


LabelValues: TypeAlias = tuple[str, ...]
Sample: TypeAlias = tuple[LabelValues, float | Distribution]


class Family(Declaration, Generic[Report], frozen=True, kw_only=True):
    """A declaration together with the function that finds its samples in a report."""

    samples: Callable[[Report], Iterable[Sample]]
    """Each sample once, with the values of all labels; none at all is fine."""
    version: Callable[[Report], object] = lambda _: None
    """What changes whenever the samples do, so that they are not computed in vain; None: unknown."""


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
