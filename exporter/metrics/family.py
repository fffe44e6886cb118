"""What a metric family is: one declaration, from which the exposition, the documents and the tests derive."""

from collections.abc import Callable, Iterable
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
    buckets: tuple[float, ...] = ()  # upper bounds of a histogram's, rising, without infinity

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
    """Changes whenever the samples do, so that equal ones are not computed again; None: unknown."""
