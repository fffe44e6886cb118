"""What holds for every query: it can be parsed, names what exists, and is right with two replicas."""

import re
from datetime import timedelta

from promql_parser import BinaryExpr

from exporter.metrics.exposition import declarations
from exporter.metrics.family import Declaration
from exporter.metrics.per_task_families import per_task_families
from grafana.parts.queries import sample_labels
from tests.support.promql import RANGE, RATE_INTERVAL, Query, all_queries, labels_named, uses
from tests.support.subtests import for_each

OF_TARGETS = {"instance", "job"}
FOREIGN = {
    "ALERTS": {"alertname", "alertstate", "severity", "account", "app_id", "rule", "owner"},
    "ALERTS_FOR_STATE": {"alertname", "severity", "account", "app_id", "rule", "owner"},
    "app:rtcmpu_collection_data_available:held": {"account", "app_id"},
    "app:rtcmpu_attention:max": {"account", "app_id"},
    "up": set(),
    "scrape_duration_seconds": set(),
    "process_start_time_seconds": set(),
    "process_resident_memory_bytes": set(),
    "process_cpu_seconds_total": set(),
}
"""What Prometheus and the client library publish, with their labels."""
RATES = {"rate", "irate", "increase"}
MADE_BY_QUERIES = {"raw", "some", "all", "shown", "rank", "detail", "runbook_url", "owner"}
OWN_WORK = ("rtcmpu_exporter_", "rtcmpu_collection_attempts")  # what differs between replicas since each does it itself
TASK_FAMILIES = {family.name for family in per_task_families()}
QUERIES = all_queries()
for_each_query = for_each(QUERIES, name=lambda query: f"{query.dashboard}/{query.place}")


def test_there_are_queries_of_all_kinds() -> None:
    """The tests below see those of panels, variables and annotations of all dashboards."""
    assert len(QUERIES) > 150
    assert {query.place.split()[0] for query in QUERIES} == {"panel", "variable", "annotation"}


@for_each_query
def test_a_query_names_what_is_published(query: Query) -> None:
    """Each metric exists, and each label that it is selected, grouped or joined by is one of its own."""
    asked = query.asked({})
    known: set[str] = set()
    for use in uses(asked):
        labels = FOREIGN[use.name] if use.name in FOREIGN else set(sample_labels()[use.name])
        selected = {matcher.name for matcher in use.selector.matchers.matchers}
        assert selected <= labels | OF_TARGETS, use.name
        known |= labels
    assert labels_named(asked) <= known | OF_TARGETS | MADE_BY_QUERIES


@for_each_query
def test_label_values_in_matchers_exist(query: Query) -> None:
    """A value that a query picks is one of the closed sets that the declarations name."""
    closed: dict[str, set[str]] = {}
    for family in declarations():
        for label in family.labels:
            if label.name != "field":
                closed.setdefault(label.name, set()).update(label.values)
    for use in uses(query.asked({})):
        for matcher in use.selector.matchers.matchers:
            if use.name not in FOREIGN and closed.get(matcher.name) and matcher.value != ".+":
                assert matcher.value in closed[matcher.name]


@for_each_query
def test_counters_are_only_read_as_rates(query: Query) -> None:
    """A counter is in rate, irate or increase, over the interval that Grafana chooses; nothing else does."""
    for use in uses(query.asked({})):
        is_counter = _is_counter(use.name)
        assert (use.function in RATES) == is_counter, use.name
        if is_counter:
            assert use.around[-1].range == timedelta(minutes=7), use.name  # type: ignore[attr-defined] # a range
    for window in re.findall(r"\[([^\]]+)\]", query.expression):
        assert window in {"$__rate_interval", "$__range", "1d"}
    assert {RATE_INTERVAL, RANGE} == {"7m", "11h"}


@for_each_query
def test_gauge_histograms_are_read_without_rates(query: Query) -> None:
    """The buckets of a distribution of configuration are of now: histogram_quantile() takes them as they are."""
    distributions = tuple(family.name for family in declarations() if family.kind == "gaugehistogram")
    for use in uses(query.asked({})):
        if use.name.startswith(distributions) and use.name not in TASK_FAMILIES:
            assert use.function is None


@for_each_query
def test_a_query_stays_within_the_chosen_jobs_and_accounts(query: Query) -> None:
    """Every selector is of the chosen jobs, and every one about an account of the chosen accounts."""
    for use in uses(query.asked({"job": "JOB", "account": "ACCOUNT"})):
        chosen = {matcher.name: matcher.value for matcher in use.selector.matchers.matchers}
        if use.name.endswith(":held") or query.place == "variable raw" or use.name in TASK_FAMILIES:
            continue  # whether the rules are loaded at all; what a job of its own scrapes
        if use.name.startswith("ALERTS"):
            assert (chosen["job"], chosen["account"]) == ("JOB|", "ACCOUNT|")
            continue
        if use.name in FOREIGN and not use.name.startswith("app:"):
            # Other targets have it too: an exporter is known by its build information, within the chosen jobs.
            join = next(around for around in reversed(use.around) if isinstance(around, BinaryExpr))
            assert re.search(
                r"and on \(job, instance\) last_over_time\(rtcmpu_exporter_build_info\{job=~\"JOB\"", str(join)
            )
            continue
        if query.place == "variable job":
            assert not chosen
            continue
        assert chosen["job"] == "JOB"
        if "account" in sample_labels().get(use.name, ()) and query.place != "variable account":
            assert chosen["account"] == "ACCOUNT"


@for_each_query
def test_two_replicas_count_once(query: Query) -> None:
    """What replicas publish alike is reduced to one series before anything is summed, counted or joined."""
    for use in uses(query.asked({})):
        shared = use.name in sample_labels() and not use.name.startswith(OWN_WORK)
        if shared and not query.place.startswith("variable"):
            assert use.aggregations[0] in {"max", "min"}, use.name


@for_each_query
def test_bitrates_are_shown_in_bits(query: Query) -> None:
    """Bytes a second become bits a second, but for the bounds of heatmaps, which no query can change."""
    if "_bytes_per_second" in query.expression and "sum by (le)" not in query.expression:
        assert query.expression.startswith("8 * ")


def _is_counter(name: str) -> bool:
    families: dict[str, Declaration] = {family.name: family for family in declarations()}
    if name in FOREIGN:
        return name.endswith("_total")
    if name in families:
        return families[name].kind == "counter"
    family = families[name.rsplit("_", maxsplit=1)[0]]
    return family.kind == "histogram"
