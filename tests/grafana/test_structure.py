"""The dashboards: how their files are made, what is on them, and that every metric is on one."""

import json
import re
from collections import Counter
from itertools import combinations
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard as DashboardModel

from exporter.metrics.exposition import declarations
from exporter.metrics.per_task_families import per_task_families
from grafana.generate import dashboard_files
from tests.generate import ROOT
from tests.support.configurations import read_yaml
from tests.support.promql import (
    Dashboard,
    Panel,
    all_queries,
    annotations,
    dashboards,
    panels,
    properties,
    rows,
    variables,
)

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
UIDS = ["rtcmpu-app", "rtcmpu-expectations", "rtcmpu-exporter", "rtcmpu-overview"]
PANEL_TYPES = {"stat", "table", "timeseries", "heatmap", "bargauge", "state-timeline", "text"}
UNITS = {
    *("bool_yes_no", "bps", "bytes", "dateTimeAsLocal", "hertz", "locale"),
    *("none", "percentunit", "reqps", "s", "short", "string"),
}
WITHOUT_INSTANCE = {"rtcmpu-overview", "rtcmpu-app", "rtcmpu-expectations"}
"""They show what all replicas publish alike; which replica says it matters on the Exporter dashboard alone."""


@pytest.fixture(params=UIDS)
def dashboard(request: pytest.FixtureRequest) -> Dashboard:
    """Each dashboard in turn."""
    return dashboards()[request.param]


def test_the_four_dashboards_keep_their_uids() -> None:
    """Links and bookmarks hold: the uids are these for good."""
    assert sorted(dashboards()) == UIDS


def test_the_data_source_is_a_variable_and_everything_uses_it(dashboard: Dashboard) -> None:
    """The first variable is the data source; panels, targets, variables and annotations have no other."""
    first, *others = variables(dashboard)

    assert (first["name"], first["label"], first["type"], first["query"]) == (
        "datasource",
        "Data source",
        "datasource",
        "prometheus",
    )
    found = [about.get("datasource") for about in (*annotations(dashboard), *_of_type(others, "query"))]
    for panel in panels(dashboard):
        found += [about["datasource"] for about in (panel, *panel.get("targets", ())) if panel["type"] != "text"]
    assert len(found) > 20
    assert [source for source in found if source != DATASOURCE] == []


def test_variables_of_labels_follow_the_time(dashboard: Dashboard) -> None:
    """A label's values are asked again when the time changes, come sorted, and "all" is a regular expression."""
    asked = _of_type(variables(dashboard), "query")
    several = [variable for variable in variables(dashboard) if variable["includeAll"]]
    one_of = {"account", "app_id"} if dashboard["uid"] == "rtcmpu-app" else set()

    assert next(variable["name"] for variable in asked) == "job"
    assert ("instance" in [variable["name"] for variable in asked]) == (dashboard["uid"] not in WITHOUT_INSTANCE)
    assert {variable["refresh"] for variable in asked} == {2}
    assert {variable["sort"] for variable in asked} == {1}
    assert {variable["allValue"] for variable in several} == {".+"}
    assert {variable["name"] for variable in several if not variable["multi"]} == one_of
    assert all(variable["query"]["query"] == variable["definition"] for variable in asked)


def test_every_panel_says_what_it_is(dashboard: Dashboard) -> None:
    """It has a title, a description of a sentence, units that Grafana knows, and a target; a text has its text."""
    for panel in panels(dashboard):
        assert panel["type"] in PANEL_TYPES
        if panel["type"] == "text":
            assert len(panel["options"]["content"]) > 80
            continue
        assert len(panel["title"]) > 2, panel["id"]
        assert re.fullmatch(r"[A-Z].{40,}\.", panel["description"]), panel["title"]
        units = [property_["value"] for property_ in properties(panel) if property_["id"] == "unit"]
        units += [panel["options"]["yAxis"]["unit"]] if panel["type"] == "heatmap" else []
        assert {panel["fieldConfig"]["defaults"]["unit"], *units} <= UNITS, panel["title"]
        assert panel["targets"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["noValue"], panel["title"]


def test_ids_are_unique_and_uniform(dashboard: Dashboard) -> None:
    """No two panels or rows share an id, and none is left to Grafana."""
    ids = [panel["id"] for panel in (*rows(dashboard), *panels(dashboard))]

    assert [id_ for id_, times in Counter(ids).items() if times > 1] == []
    assert all(isinstance(id_, int) and id_ > 0 for id_ in ids)


def test_nothing_overlaps_and_lines_are_full(dashboard: Dashboard) -> None:
    """Panels stand within the 24 columns, none on another, and each line of panels is filled to its end."""
    shown = list(dashboard["panels"])
    collapsed = [panel["panels"] for panel in rows(dashboard)]
    for together in (shown, *collapsed):
        for one, other in combinations(together, 2):
            assert not _overlap(one, other), (one["title"], other["title"])
        lines: Counter[int] = Counter()
        for panel in together:
            lines[panel["gridPos"]["y"]] += panel["gridPos"]["w"]
        assert set(lines.values()) == {24}


def test_the_first_screen_has_the_answers(dashboard: Dashboard) -> None:
    """It has numbers and tables, no more than a screen of them; the rest is collapsed, each row a question."""
    shown = [panel for panel in dashboard["panels"] if panel["type"] != "row"]

    assert len(shown) <= 12
    assert max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in shown) <= 24
    assert {"stat", "table"} <= {panel["type"] for panel in shown}
    assert all(row["collapsed"] and row["title"].endswith("?") for row in rows(dashboard))


def test_single_numbers_are_of_this_moment(dashboard: Dashboard) -> None:
    """A stat, bar or table never asks over a range: that would show what was withdrawn as if it held."""
    for panel in panels(dashboard):
        if panel["type"] in {"stat", "bargauge", "table"}:
            assert all(target["instant"] and not target["range"] for target in panel["targets"]), panel["title"]


def test_heatmaps_read_buckets(dashboard: Dashboard) -> None:
    """A heatmap asks for buckets in the format that Grafana takes apart by itself."""
    for panel in panels(dashboard):
        if panel["type"] == "heatmap":
            (target,) = panel["targets"]
            assert (target["format"], target["legendFormat"]) == ("heatmap", "{{le}}")
            assert re.match(r"sum by \(le\) \(", target["expr"])
            assert panel["options"]["calculate"] is False
            assert panel["options"]["color"]["min"] == 0, "the palest colour is of the smallest value, not of none"


def test_timelines_have_the_colours_of_their_words(dashboard: Dashboard) -> None:
    """With the colour mode `thresholds` Grafana ignores the words of merged values: bars are grey and say `-∞+`."""
    for panel in panels(dashboard):
        if panel["type"] == "state-timeline":
            defaults = panel["fieldConfig"]["defaults"]
            assert (defaults["color"]["mode"], panel["options"]["mergeValues"]) == ("fixed", True)
            assert all(shown["color"] for words in defaults["mappings"] for shown in words["options"].values())


def test_the_columns_of_tables_exist(dashboard: Dashboard) -> None:
    """Each column is a label that the table's queries return, or the value of one of its queries."""
    labels = {label for family in declarations() for label in family.label_names}
    labels |= {"instance", "alertname", "rank", "detail"}
    for panel in panels(dashboard):
        if panel["type"] != "table":
            continue
        assert {target["format"] for target in panel["targets"]} == {"table"}
        merge, organize = panel["transformations"]
        assert merge["id"] == "merge"
        renamed: dict[str, str] = organize["options"]["renameByName"]
        refs = [target["refId"] for target in panel["targets"]]
        values = {f"Value #{ref}" for ref in refs} if len(refs) > 1 else {"Value"}
        hidden = set(organize["options"]["excludeByName"])
        assert {field for field in (*renamed, *hidden) if field.startswith("Value")} == values, panel["title"]
        assert "Time" in hidden
        assert not hidden & set(renamed)
        assert {field for field in renamed if not field.startswith("Value")} <= labels, panel["title"]
        titles = list(renamed.values())
        assert len(set(titles)) == len(titles)
        assert [override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]] == titles
        assert panel["options"]["sortBy"]
        assert {order["displayName"] for order in panel["options"]["sortBy"]} <= set(titles)


def test_series_of_closed_sets_have_colours_of_their_own() -> None:
    """Where all names of series are known, each has a colour, and no two of a graph have the same."""
    coloured = 0
    for panel in [panel for dashboard in dashboards().values() for panel in panels(dashboard)]:
        if panel["type"] == "timeseries":
            found = [property_["value"]["fixedColor"] for property_ in properties(panel) if property_["id"] == "color"]
            assert len(set(found)) == len(found), panel["title"]
            coloured += bool(found)
    assert coloured >= 15


def test_no_value_is_neither_good_nor_bad(dashboard: Dashboard) -> None:
    """What is not known has a neutral colour: the first step, from which the judging ones begin."""
    for panel in panels(dashboard):
        defaults = panel.get("fieldConfig", {}).get("defaults", {})
        found = [property_["value"] for property_ in properties(panel) if property_["id"] == "thresholds"]
        for thresholds in (*found, *filter(None, [defaults.get("thresholds")])):
            first, *_ = thresholds["steps"]
            assert (first["value"], first["color"] in {"text", "transparent"}) == (None, True), panel["title"]


def _of_type(some: list[Any], kind: str) -> list[Any]:
    return [one for one in some if one["type"] == kind]


def _overlap(one: Panel, other: Panel) -> bool:
    a, b = one["gridPos"], other["gridPos"]
    beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
    apart = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
    return not (beside or apart)


FILES = dict(dashboard_files())


def test_there_is_no_file_that_nothing_makes() -> None:
    """A dashboard that is no longer made is not left behind."""
    assert {f"grafana/{path.name}" for path in (ROOT / "grafana").glob("*.json")} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_the_round_trip_through_the_sdk_loses_nothing(name: str) -> None:
    """The schema's own reader knows every key: a misspelt one would be gone afterwards."""
    register_default_plugins()
    contents = json.loads(FILES[name])

    again = json.loads(json.dumps(DashboardModel.from_json(contents), cls=JSONEncoder))
    assert list(_lost(contents, again, name)) == []


def test_the_provisioning_example_loads_files_and_keeps_them_read_only() -> None:
    """Grafana would load the dashboards from a directory, and let nobody change them by hand."""
    example = read_yaml((ROOT / "grafana" / "provisioning" / "dashboards.yml").read_text(encoding="utf-8"))

    (provider,) = example["providers"]
    assert (example["apiVersion"], provider["type"], provider["allowUiUpdates"]) == (1, "file", False)
    assert provider["options"]["path"].startswith("/var/lib/grafana/")


def _lost(before: Any, after: Any, where: str) -> Any:
    """Yield each place where something of `before` is not in `after`; the SDK may add its defaults."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from _lost(value, after[key], f"{where}.{key}") if key in after else (f"{where}.{key}",)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _lost(one, other, f"{where}[{place}]")
    elif before != after:
        yield f"{where}: {before!r} became {after!r}"


SINGLE_TASKS = "about single tasks: off by default, on a path of its own, and for questions that someone asks by hand"
LAST_SWEEP = "about the last sweep alone: the counter of the same is shown"
SHOWN_TASKS = {"info", "config_video_bitrate_bytes_per_second", "config_outputs"} | {
    f"{moment}_timestamp_seconds" for moment in ("first_seen", "last_changed")
}
UNUSED = {
    family.name: SINGLE_TASKS
    for family in per_task_families()
    if family.name.removeprefix("rtcmpu_task_") not in SHOWN_TASKS
} | {
    "rtcmpu_collection_repaired_tasks": LAST_SWEEP,
    "rtcmpu_collection_duplicate_rows": LAST_SWEEP,
    "rtcmpu_task_frame_pixels": "the bars of resolutions say the same in words",
    "rtcmpu_exporter_api_retries_total": "the requests by outcome show why attempts failed",
    "rtcmpu_exporter_lease_takeovers_total": "the bars of who collects each account show each takeover",
    "rtcmpu_exporter_credentials_info": "which source a key comes from is a question that someone asks by hand",
    "rtcmpu_exporter_config_unmatched_patterns": "a pattern without files may be meant: the log and check-config warn",
    "rtcmpu_exporter_http_requests_total": "who asks the exporter for what is a question that someone asks by hand",
}
"""Families that nothing shows, each with the reason."""


@pytest.fixture(scope="module")
def used() -> set[str]:
    """All names that are in queries of dashboards and in rules."""
    texts = [query.expression for query in all_queries()]
    texts += [path.read_text(encoding="utf-8") for path in (ROOT / "deploy" / "prometheus").glob("*.yml")]
    return {name for text in texts for name in re.findall(r"rtcmpu_[a-z_]+", text)}


def test_a_family_is_shown_or_unused_for_a_reason(used: set[str]) -> None:
    """Something reads each family, or the list of unused ones says why nothing does; it names no other."""
    parts = ("", "_bucket", "_gcount", "_gsum")
    names = [family.name for family in declarations()]
    assert [name for name in names if used.isdisjoint(name + part for part in parts)] == sorted(UNUSED, key=names.index)
    assert all(len(reason) > 20 for reason in UNUSED.values())
