"""The variables at the top of the dashboards."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh, VariableSort

from exporter.rules.rule import SEVERITIES
from grafana.parts.panels import DATASOURCE
from grafana.parts.queries import Scope

EXPORTER_URL: Final = "http://localhost:10678"
ANY: Final = ".+"
_ALL: Final = VariableOption(selected=True, text="All", value="$__all")


def datasource() -> build.DatasourceVariable:
    """Return the choice of the Prometheus that everything is asked from."""
    return build.DatasourceVariable("datasource").label("Data source").type("prometheus")


def several(name: str, label: str, sample: str, scope: Scope, *, of_label: str = "") -> build.QueryVariable:
    """Return a choice of any number of a label's values, all of them at first.

    Args:
        name: The variable's.
        label: What people see.
        sample: The sample whose label's values are offered.
        scope: The variables before it, which narrow its values.
        of_label: The label's name, where it is not the variable's.
    """
    return _of_label(name, label, sample, scope, of_label).multi(True).include_all(True).all_value(ANY).current(_ALL)


def one(name: str, label: str, sample: str, scope: Scope) -> build.QueryVariable:
    """Return a choice of one of a label's values; all of them is what other dashboards may lead here with."""
    return _of_label(name, label, sample, scope, "").multi(False).include_all(True).all_value(ANY)


def search(name: str, label: str, description: str) -> build.TextBoxVariable:
    """Return a text that is searched for."""
    nothing = VariableOption(selected=True, text="", value="")
    return build.TextBoxVariable(name).label(label).description(description).default_value("").current(nothing)


def severity() -> build.CustomVariable:
    """Return a choice of severities, all at first."""
    names = [str(severity) for severity in reversed(SEVERITIES)]
    return (
        build.CustomVariable("severity")
        .label("Severity")
        .values(",".join(names))
        .options([VariableOption(selected=False, text=name, value=name) for name in names])
        .multi(True)
        .include_all(True)
        .all_value(ANY)
        .current(_ALL)
    )


def exporter_url() -> build.TextBoxVariable:
    """Return where links to the exporter's own pages lead."""
    return (
        build.TextBoxVariable("exporter_url")
        .label("Exporter URL")
        .description("Where your browser reaches the exporter. Links to its pages and its API begin with this.")
        .default_value(EXPORTER_URL)
        .current(VariableOption(selected=True, text=EXPORTER_URL, value=EXPORTER_URL))
    )


def _of_label(name: str, label: str, sample: str, scope: Scope, of_label: str) -> build.QueryVariable:
    query = f"label_values({scope.series(sample)}, {of_label or name})"
    return (
        build.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query({"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"})
        .definition(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )
