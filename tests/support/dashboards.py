"""The generated dashboards as Grafana reads them: their panels, and every query in them."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tests.generate import ROOT

Dashboard = Mapping[str, Any]
Panel = Mapping[str, Any]

RATE_INTERVAL = "7m"
RANGE = "11h"
EVERYTHING = {"__rate_interval": RATE_INTERVAL, "__range": RANGE}
"""Lengths of time that nobody would write, so that the place of a variable is seen."""
ALL = ".+"
_VARIABLE = re.compile(r"\$([a-z_]\w*)")
_LABEL_VALUES = re.compile(r"label_values\((?:(?P<series>.+), )?(?P<label>\w+)\)")


class Query(NamedTuple):
    """One query of a dashboard."""

    dashboard: str
    place: str
    expression: str  # with Grafana's variables in it
    is_range: bool
    panel_id: int | None = None

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.place}: {self.expression}"

    def asked(self, values: Mapping[str, str]) -> str:
        """Return what Prometheus is asked when the variables have these values, and all others mean everything."""
        return _VARIABLE.sub(lambda found: values.get(found[1], EVERYTHING.get(found[1], ALL)), self.expression)


def dashboards() -> dict[str, Dashboard]:
    """Return all dashboards by uid."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "grafana").glob("*.json"))]
    return {dashboard["uid"]: dashboard for dashboard in found}


def rows(dashboard: Dashboard) -> list[Panel]:
    """Return the titles between the panels."""
    return [panel for panel in dashboard["panels"] if panel["type"] == "row"]


def panels(dashboard: Dashboard) -> list[Panel]:
    """Return all panels, those of collapsed rows too."""
    nested = (panel["panels"] if panel["type"] == "row" else [panel] for panel in dashboard["panels"])
    return [panel for some in nested for panel in some]


def properties(panel: Panel) -> list[Mapping[str, Any]]:
    """Return what a panel sets for single series or columns."""
    overrides = panel.get("fieldConfig", {}).get("overrides", ())
    return [found for override in overrides for found in override["properties"]]


def variables(dashboard: Dashboard) -> list[Mapping[str, Any]]:
    """Return the variables."""
    return list(dashboard["templating"]["list"])


def annotations(dashboard: Dashboard) -> list[Mapping[str, Any]]:
    """Return the kinds of marks."""
    return list(dashboard["annotations"]["list"])


def queries(dashboard: Dashboard) -> Iterator[Query]:
    """Yield every query of every panel, variable and annotation."""
    uid = dashboard["uid"]
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            place = f"panel {panel['id']} {panel['title']} {target['refId']}"
            yield Query(uid, place, target["expr"], bool(target["range"]), panel["id"])
    for variable in variables(dashboard):
        if variable["type"] == "query":
            name, asked = variable["name"], variable["definition"]
            if found := _LABEL_VALUES.fullmatch(asked):
                asked = f"count by ({found['label']}) ({found['series']})"
            else:
                asked = asked.removeprefix("query_result(").removesuffix(")")
            yield Query(uid, f"variable {name}", asked, False)
    for annotation in annotations(dashboard):
        yield Query(uid, f"annotation {annotation['name']}", annotation["expr"], True)


def all_queries() -> list[Query]:
    """Return every query of all dashboards."""
    return [query for dashboard in dashboards().values() for query in queries(dashboard)]
