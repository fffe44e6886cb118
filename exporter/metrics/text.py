"""Families as bytes, in the text format 0.0.4 and in OpenMetrics 1.0.

Both formats write samples alike and differ in their headers and in the order of a gauge histogram's samples.
So a family is rendered into `sections` that know nothing of a format, and its `layout` says which sections
stand under which header in each.
"""

from collections.abc import Iterable
from functools import lru_cache
from math import isnan
from typing import Final, TypeAlias

from msgspec import Struct
from prometheus_client import Metric
from prometheus_client.utils import floatToGoString

from exporter.metrics.family import Declaration, Distribution, Sample

END_OF_OPENMETRICS: Final = b"# EOF\n"

Sections: TypeAlias = tuple[bytes, ...]
"""The samples of one family: one section, or for a gauge histogram four: the buckets, the numbers of values,
the sums, and all of them again in the order of OpenMetrics."""


class HeadedSection(Struct, frozen=True):
    """A header and the section that follows it."""

    header: bytes
    section: int


class FamilyLayout(Struct, frozen=True):
    """The headers of a family in each format."""

    text: tuple[HeadedSection, ...]
    openmetrics: tuple[HeadedSection, ...]


def layout(declaration: Declaration) -> FamilyLayout:
    """Return the headers of a family and what follows each of them."""
    name, documentation = declaration.name, declaration.documentation
    openmetrics_header = _openmetrics_header(declaration.openmetrics_name, documentation, declaration.kind)
    if declaration.kind != "gaugehistogram":
        kind = _TEXT_KINDS.get(declaration.kind, declaration.kind)
        return FamilyLayout(
            text=(HeadedSection(_text_header(name, documentation, kind).encode(), 0),),
            openmetrics=(HeadedSection(openmetrics_header.encode(), 0),),
        )
    return FamilyLayout(
        text=(
            HeadedSection(_text_header(name, documentation, "histogram").encode(), 0),
            HeadedSection(_text_header(f"{name}_gcount", documentation, "gauge").encode(), 1),
            HeadedSection(_text_header(f"{name}_gsum", documentation, "gauge").encode(), 2),
        ),
        openmetrics=(HeadedSection(openmetrics_header.encode(), 3),),
    )


def sections(declaration: Declaration, samples: Iterable[Sample]) -> Sections:
    """Render samples; as many sections as `layout` refers to, each empty where there is no sample."""
    if declaration.kind == "gaugehistogram":
        return _gauge_histogram_sections(declaration, samples)
    name, names = declaration.name, declaration.label_names
    lines: list[str] = []
    for values, value in samples:
        if not isinstance(value, Distribution):
            lines.append(_line(name, label_text(names, values), value))
    return (_encoded(lines),)


def render_metrics(metrics: Iterable[Metric], *, openmetrics: bool) -> bytes:
    """Render what collectors of prometheus_client give, without what is NaN and the times of counters' creation."""
    lines: list[str] = []
    for metric in metrics:
        if openmetrics:
            lines.append(_openmetrics_header(metric.name, metric.documentation, metric.type))
        else:
            suffix = {"counter": "_total", "info": "_info"}.get(metric.type, "")
            kind = _TEXT_KINDS.get(metric.type, metric.type)
            lines.append(_text_header(metric.name + suffix, metric.documentation, kind))
        lines += (
            _line(sample.name, label_text(sample.labels, sample.labels.values()), sample.value)
            for sample in metric.samples
            if not (isnan(sample.value) or sample.name.endswith("_created"))
        )
    return _encoded(lines)


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


_TEXT_KINDS: Final = {"info": "gauge", "gaugehistogram": "histogram", "unknown": "untyped"}
_FIRST_WITH_EXPONENT: Final = 1_000_000


def _gauge_histogram_sections(declaration: Declaration, samples: Iterable[Sample]) -> Sections:
    """Render the four sections of a gauge histogram."""
    name, names = declaration.name, declaration.label_names
    buckets: list[str] = []
    counts: list[str] = []
    sums: list[str] = []
    together: list[str] = []
    for values, value in samples:
        if isinstance(value, Distribution):
            labels = label_text(names, values)
            own_buckets = _bucket_lines(name, labels, value)
            count = _line(f"{name}_gcount", labels, value.counts[-1])
            total = _line(f"{name}_gsum", labels, value.total)
            buckets += own_buckets
            counts.append(count)
            sums.append(total)
            together += (*own_buckets, count, total)
    return tuple(_encoded(lines) for lines in (buckets, counts, sums, together))


def _bucket_lines(name: str, labels: str, distribution: Distribution) -> list[str]:
    """Render the buckets of one distribution."""
    start = f"{name}_bucket{{{labels},le=" if labels else f"{name}_bucket{{le="
    return [
        f"{start}{bound}}} {number(count)}\n"
        for bound, count in zip(_quoted_bounds(distribution.bounds), distribution.counts, strict=True)
    ]


@lru_cache(maxsize=64)
def _quoted_bounds(bounds: tuple[float, ...]) -> tuple[str, ...]:
    """Return the values of `le`; most distributions share few sets of bounds."""
    return tuple(f'"{number(bound)}"' for bound in (*bounds, float("inf")))


def _line(name: str, labels: str, value: float) -> str:
    """Render one sample."""
    return f"{name}{{{labels}}} {number(value)}\n" if labels else f"{name} {number(value)}\n"


def _text_header(name: str, documentation: str, kind: str) -> str:
    """Return HELP and TYPE in the text format."""
    return f"# HELP {name} {_one_line(documentation)}\n# TYPE {name} {kind}\n"


def _openmetrics_header(name: str, documentation: str, kind: str) -> str:
    """Return HELP and TYPE in OpenMetrics."""
    return f"# HELP {name} {escape(documentation)}\n# TYPE {name} {kind}\n"


def _one_line(documentation: str) -> str:
    """Escape a HELP text of the text format, where quotes stand as they are."""
    return documentation.replace("\\", r"\\").replace("\n", r"\n")


def _encoded(lines: Iterable[str]) -> bytes:
    """Return lines as bytes; half a character, which no encoding has, becomes a question mark."""
    return "".join(lines).encode("utf-8", "replace")
