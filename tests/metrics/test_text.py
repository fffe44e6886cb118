"""Families as text: checked against the official client, its parsers, and hostile values."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Info, generate_latest
from prometheus_client.core import GaugeHistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.utils import floatToGoString

from exporter.metrics.family import (
    END_OF_OPENMETRICS,
    Declaration,
    Distribution,
    Kind,
    Label,
    Sample,
    headers,
    number,
    render_metrics,
    sections,
)

HOSTILE = ["", '"', "\\", "\n", "\\n", '\\"', "a\r\tb", '"} 1\nevil{x="', "€ 漢字 🎥", "# HELP x y", "{}", ",", "\x00"]

SAMPLES: list[Sample] = [
    (("live", "one"), Distribution((0.5, 10.0, 2_500_000.0), (1, 1, 2, 4), 7_500_000.25)),
    (("live", "two"), Distribution((0.5, 10.0, 2_500_000.0), (0, 0, 0, 1_000_000), 1e18)),
]


def _rendered(declaration: Declaration, samples: list[Sample], *, openmetrics: bool) -> str:
    """Return a family under its headers."""
    found = sections(declaration, samples)
    parts = headers(declaration, openmetrics=openmetrics)
    return b"".join(header + found[section] for header, section in parts).decode()


def _sorted_labels(exposition: str) -> str:
    """Sort the labels of each line, as the official client does."""
    return re.sub(
        r"\{(.*?)\} ", lambda labels: "{" + ",".join(sorted(re.findall(r'\w+=".*?"', labels[1]))) + "} ", exposition
    )


class _Collector:
    """Gives one metric to a registry."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        yield self._metric


def _official(metric: Metric, *, openmetrics: bool) -> str:
    """Return what the official client makes of a metric."""
    registry = CollectorRegistry()
    registry.register(_Collector(metric))
    rendered = generate_openmetrics(registry) if openmetrics else generate_latest(registry)  # type: ignore[no-untyped-call]
    return bytes(rendered).decode().removesuffix(END_OF_OPENMETRICS.decode())


@pytest.mark.parametrize("openmetrics", [False, True])
def test_gauge_histograms_stand_as_the_official_client_writes_them(openmetrics: bool) -> None:
    """Byte for byte, but for the order of labels, in both formats."""
    declaration = Declaration(
        name="rtcmpu_sizes", kind="gaugehistogram", help='How "large".', labels=(Label("app_id"), Label("mix_mode"))
    )
    official = GaugeHistogramMetricFamily("rtcmpu_sizes", declaration.documentation, labels=("app_id", "mix_mode"))
    for values, value in SAMPLES:
        assert isinstance(value, Distribution)
        bounds = [*map(floatToGoString, value.bounds), "+Inf"]
        official.add_metric(values, buckets=list(zip(bounds, value.counts, strict=True)), gsum_value=value.total)
    ours = _rendered(declaration, SAMPLES, openmetrics=openmetrics)
    assert _sorted_labels(ours) == _official(official, openmetrics=openmetrics)


@pytest.mark.parametrize("openmetrics", [False, True])
@pytest.mark.parametrize(
    ("name", "kind", "metric"), [("x_size", "gauge", Gauge), ("x_total", "counter", Counter), ("x_info", "info", Info)]
)
def test_other_types_stand_as_the_official_client_writes_them(
    name: str, kind: Kind, metric: type, openmetrics: bool
) -> None:
    """Names, types and help of each type differ between the formats as they should."""
    declaration = Declaration(name=name, kind=kind, help='Backslash \\, "quote" and\nline.', labels=(Label("app"),))
    registry = CollectorRegistry()
    official = metric(declaration.openmetrics_name, declaration.documentation, ["app"], registry=registry)
    if kind == "info":
        official.labels("live").info({})
    else:
        official.labels("live").inc(1)
    metrics = []
    for each in registry.collect():
        each.samples = [sample for sample in each.samples if not sample.name.endswith("_created")]
        metrics.append(each)
    assert _rendered(declaration, [(("live",), 1)], openmetrics=openmetrics) == "".join(
        _official(each, openmetrics=openmetrics) for each in metrics
    )
    assert _rendered(declaration, [(("live",), 1)], openmetrics=openmetrics).encode() == render_metrics(
        metrics, openmetrics=openmetrics
    )


@given(st.one_of(st.integers(-(10**20), 10**20), st.integers(999_990, 1_000_010), st.floats(allow_nan=False)))
def test_numbers_are_written_as_by_the_official_client(value: float) -> None:
    """The short way for common numbers makes no difference."""
    assert number(value) == floatToGoString(value)  # type: ignore[no-untyped-call]


@given(st.lists(st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2))
def test_hostile_label_values_come_back_as_they_went(values: list[str]) -> None:
    """Whatever is in a name, both of the official parsers read one sample with exactly that value."""
    declaration = Declaration(name="x_info", kind="info", help="X.", labels=(Label("name"), Label("owner")))
    samples: list[Sample] = [((values[0], values[1]), 1)]
    in_text = list(parse_text(_rendered(declaration, samples, openmetrics=False)))
    openmetrics = _rendered(declaration, samples, openmetrics=True) + "# EOF\n"
    in_openmetrics = list(parse_openmetrics(openmetrics))  # type: ignore[no-untyped-call]
    for families in (in_text, in_openmetrics):
        labels = [sample.labels for family in families for sample in family.samples]
        assert labels == [{"name": values[0], "owner": values[1]}]


def test_half_a_character_does_no_harm() -> None:
    """A lone surrogate, which no encoding has, becomes a question mark."""
    declaration = Declaration(name="x", kind="gauge", help="X.", labels=(Label("name"),))
    assert sections(declaration, [(("a\ud800b",), 1)]) == (b'x{name="a?b"} 1.0\n',)


def test_a_family_without_samples_still_has_its_headers() -> None:
    """What is promised is announced."""
    declaration = Declaration(name="x_total", kind="counter", help="X.")
    assert _rendered(declaration, [], openmetrics=False) == "# HELP x_total [STABLE] X.\n# TYPE x_total counter\n"
    assert _rendered(declaration, [], openmetrics=True) == "# HELP x [STABLE] X.\n# TYPE x counter\n"
