"""What a metric family is, and its bytes: `sections`, alike in both formats, and `headers`, which one follows each."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from math import isnan
from typing import Final, Generic, Literal, TypeAlias, TypeVar

from msgspec import Struct
from prometheus_client import Metric
from prometheus_client.utils import floatToGoString

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


END_OF_OPENMETRICS: Final = b"# EOF\n"

Sections: TypeAlias = tuple[bytes, ...]
"""The samples of one family: one section, or for a gauge histogram four: the buckets, the numbers of values,
the sums, and all of them again in the order of OpenMetrics."""


def headers(declaration: Declaration, *, openmetrics: bool) -> tuple[tuple[bytes, int], ...]:
    """Return the headers of a family, and which section follows each."""
    name, text, kind = declaration.name, declaration.documentation, declaration.kind
    if openmetrics:
        header = _header(declaration.openmetrics_name, text, kind, openmetrics=True)
        return ((header, 3 if kind == _DIVIDED else 0),)
    if kind == _DIVIDED:
        names = ((name, "histogram"), (f"{name}_gcount", "gauge"), (f"{name}_gsum", "gauge"))
        return tuple((_header(name, text, kind), section) for section, (name, kind) in enumerate(names))
    return ((_header(name, text, kind), 0),)


def sections(declaration: Declaration, samples: Iterable[Sample]) -> Sections:
    """Render samples; as many sections as `headers` refer to, each empty where there is no sample."""
    if declaration.kind == _DIVIDED:
        return _gauge_histogram_sections(declaration, samples)
    name, names = declaration.name, declaration.label_names
    numbers = ((values, value) for values, value in samples if not isinstance(value, Distribution))
    return (_encoded(_line(name, label_text(names, values), value) for values, value in numbers),)


def render_metrics(metrics: Iterable[Metric], *, openmetrics: bool) -> bytes:
    """Render what collectors of prometheus_client give, as `metric_lines` does, with headers."""
    parts: list[bytes] = []
    for metric in metrics:
        suffix = "" if openmetrics else {"counter": "_total", "info": "_info"}.get(metric.type, "")
        parts.append(_header(metric.name + suffix, metric.documentation, metric.type, openmetrics=openmetrics))
        parts.append(metric_lines([metric]))
    return b"".join(parts)


def metric_lines(metrics: Iterable[Metric]) -> bytes:
    """Render the samples of metrics of prometheus_client, without what is NaN and the times of counters' creation."""
    return _encoded(
        _line(sample.name, label_text(sample.labels, sample.labels.values()), sample.value)
        for metric in metrics
        for sample in metric.samples
        if not (isnan(sample.value) or sample.name.endswith("_created"))
    )


def label_text(names: Iterable[str], values: Iterable[str]) -> str:
    """Return labels as they stand between the braces."""
    return ",".join([f'{name}="{escape(value)}"' for name, value in zip(names, values, strict=True)])


def escape(value: str) -> str:
    """Return a label value as it is between its quotes."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def number(value: float) -> str:
    """Return a value as prometheus_client and Go write it: 3 is `3.0`, 1500000 is `1.5e+06`."""
    if type(value) is int and 0 <= value < _FIRST_WITH_EXPONENT:
        return f"{value}.0"
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


_DIVIDED: Final = "gaugehistogram"
_TEXT_KINDS: Final = {"info": "gauge", "gaugehistogram": "histogram", "unknown": "untyped"}
_FIRST_WITH_EXPONENT: Final = 1_000_000


def _gauge_histogram_sections(declaration: Declaration, samples: Iterable[Sample]) -> Sections:
    name, names = declaration.name, declaration.label_names
    buckets: list[str] = []
    counts: list[str] = []
    sums: list[str] = []
    together: list[str] = []
    for values, value in samples:
        if isinstance(value, Distribution):
            labels = label_text(names, values)
            places = zip(_quoted_bounds(value.bounds), value.counts, strict=True)
            own_buckets = [f"{name}_bucket{{{labels},le={bound}}} {number(count)}\n" for bound, count in places]
            count = _line(f"{name}_gcount", labels, value.counts[-1])
            total = _line(f"{name}_gsum", labels, value.total)
            buckets += own_buckets
            counts.append(count)
            sums.append(total)
            together += (*own_buckets, count, total)
    return tuple(_encoded(lines) for lines in (buckets, counts, sums, together))


@lru_cache(maxsize=64)
def _quoted_bounds(bounds: tuple[float, ...]) -> tuple[str, ...]:
    """Return the values of `le`; most distributions share few sets of bounds."""
    return tuple(f'"{number(bound)}"' for bound in (*bounds, float("inf")))


def _line(name: str, labels: str, value: float) -> str:
    return f"{name}{{{labels}}} {number(value)}\n" if labels else f"{name} {number(value)}\n"


def _header(name: str, documentation: str, kind: str, *, openmetrics: bool = False) -> bytes:
    """Return HELP and TYPE. Quotes are as they are in the text format, which knows fewer types."""
    one_line = documentation.replace("\\", r"\\").replace("\n", r"\n")
    if openmetrics:
        return f"# HELP {name} {escape(documentation)}\n# TYPE {name} {kind}\n".encode()
    return f"# HELP {name} {one_line}\n# TYPE {name} {_TEXT_KINDS.get(kind, kind)}\n".encode()


def _encoded(lines: Iterable[str]) -> bytes:
    return "".join(lines).encode("utf-8", "replace")
