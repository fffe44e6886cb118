"""Every query of the documents works."""

from typing import Final

import pytest

from exporter.metrics.exposition import declarations
from grafana.parts.queries import sample_labels
from tests.alerts.alert_cases import rules
from tests.chart_files import RULE_FILES
from tests.docs.documents import Block, blocks, expressions
from tests.support.promql import labels_named, uses

FROM_ELSEWHERE: Final = {
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "process_start_time_seconds",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
}
"""What Prometheus itself or the official client publishes."""
LABELS_FROM_ELSEWHERE: Final = {"job", "instance", "owner"}
RATES: Final = {"rate", "irate", "increase", "changes", "resets"}
RECORDED: Final = {
    rule["record"] for file in RULE_FILES for rule in rules(file.read_text(encoding="utf-8")) if "record" in rule
}
BLOCKS: Final = blocks("promql")


@pytest.fixture(params=BLOCKS, ids=lambda block: block.place)
def queries(request: pytest.FixtureRequest) -> list[str]:
    """The expressions of each block in turn."""
    assert isinstance(request.param, Block)
    return expressions(request.param.text)


def test_there_are_queries_to_look_at() -> None:
    """The tests below see those of the README, the documents and the runbooks."""
    assert sum(len(expressions(block.text)) for block in BLOCKS) > 50


def test_queries_ask_for_what_is_published(queries: list[str]) -> None:
    """Each can be parsed, names only metrics that are published or recorded, and labels that these have."""
    closed: dict[str, set[str]] = {}
    for label in (
        label for family in declarations() for label in family.labels if label.values and label.name != "field"
    ):
        closed.setdefault(label.name, set()).update(label.values)
    every_label = {name for labels in sample_labels().values() for name in labels} | LABELS_FROM_ELSEWHERE
    for query in queries:
        assert labels_named(query) <= every_label, query
        for use in uses(query):
            assert use.name in sample_labels().keys() | RECORDED | FROM_ELSEWHERE, query
            labels = {*sample_labels().get(use.name, every_label), *LABELS_FROM_ELSEWHERE}
            for matcher in use.selector.matchers.matchers:
                assert matcher.name in labels, query
                if closed.get(matcher.name):
                    assert set(matcher.value.split("|")) <= {"", *closed[matcher.name]}, query


def test_only_counters_are_read_as_rates(queries: list[str]) -> None:
    """What is a gauge now is asked without rate(), and counters with it."""
    kinds = {family.name: family.kind for family in declarations()}
    for query in queries:
        for use in uses(query):
            kind = kinds.get(use.name) or kinds.get(use.name.rpartition("_")[0])
            if kind in {"counter", "histogram"}:
                assert use.function in RATES, query
            elif kind is not None:
                assert use.function not in {"rate", "irate", "increase"}, query


def test_a_query_that_names_nothing_published_would_be_found() -> None:
    """The look-up of names knows what is published from what is not."""
    assert "rtcmpu_up" in sample_labels()
    assert {use.name for use in uses("sum(rtcmpu_bogus)")} == {"rtcmpu_bogus"}
    assert "app:rtcmpu_tasks:held" in RECORDED
