"""PromQL expressions: their selectors with what surrounds them, their labels, and all queries of the dashboards."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import promql_parser
from promql_parser import AggregateExpr, BinaryExpr, Call, Expr, MatrixSelector, VectorSelector

from tests.generate import ROOT


class Use(NamedTuple):
    """One selector, and the expressions around it from the outermost to the innermost."""

    selector: VectorSelector
    around: tuple[Expr, ...]

    @property
    def name(self) -> str:
        assert self.selector.name is not None
        return self.selector.name

    @property
    def function(self) -> str | None:
        """The function that is applied to the selector's range; None without a range."""
        if len(self.around) < 2 or not isinstance(self.around[-1], MatrixSelector):
            return None
        call = self.around[-2]
        assert isinstance(call, Call)
        return call.func.name

    @property
    def aggregations(self) -> list[str]:
        """What aggregates it, from the innermost to the outermost."""
        return [_operator(around) for around in reversed(self.around) if isinstance(around, AggregateExpr)]


def uses(expression: str) -> list[Use]:
    """Return the selectors of an expression in their order; raises ValueError if the expression can't be parsed."""
    found: list[Use] = []
    around: list[Expr] = []

    def enter(node: Expr) -> None:
        if isinstance(node, VectorSelector):
            found.append(Use(node, tuple(around)))
        around.append(node)

    def leave(_node: Expr) -> None:
        around.pop()

    promql_parser.walk(promql_parser.parse(expression), enter, leave)
    return found


def labels_named(expression: str) -> set[str]:
    """Return all labels that an expression groups or matches by."""
    found: set[str] = set()

    def enter(node: Expr) -> None:
        if isinstance(node, AggregateExpr) and node.modifier is not None:
            found.update(node.modifier.labels)
        if isinstance(node, BinaryExpr) and node.modifier is not None:
            if node.modifier.matching is not None:
                found.update(node.modifier.matching.labels)
            found.update(node.modifier.group_labels or ())

    promql_parser.walk(promql_parser.parse(expression), enter)
    return found


def _operator(aggregation: AggregateExpr) -> str:
    return aggregation.prettify().split("(", maxsplit=1)[0].split()[0]


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
