"""The variables at the top of the dashboards."""

from collections.abc import Sequence
from typing import Final, TypeAlias

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.dashboard import VariableHide, VariableOption, VariableRefresh, VariableSort

from exporter.rules.rule import SEVERITIES
from grafana.parts.panels import DATASOURCE
from grafana.parts.queries import ATTENTION_RECORD, BUILD_INFO, RAW, Scope

Variable: TypeAlias = build.DatasourceVariable | build.QueryVariable | build.CustomVariable | build.TextBoxVariable
EXPORTER_URL: Final = "http://localhost:10678"
ANY: Final = ".+"
_ALL: Final = VariableOption(selected=True, text="All", value="$__all")
_OF_LABELS: Final = {
    "job": ("Job", BUILD_INFO),
    "instance": ("Instance", BUILD_INFO),
    "account": ("Account", "rtcmpu_up"),
    "app_id": ("App", "rtcmpu_up"),
    "task_region": ("Region", "rtcmpu_tasks"),
    "rule": ("Rule", "rtcmpu_policy_rule_info"),
}
"""What people see, and the sample whose label's values are offered."""


def variables(scope: Scope, *others: Variable, one_of: Sequence[str] = ()) -> list[Variable]:
    """Return the choices of the data source, of the scope's labels, each within those before it, and the others.

    Any number of values can be chosen, all at first; of the labels `one_of` only one, or all.
    """
    found: list[Variable] = [build.DatasourceVariable("datasource").label("Data source").type("prometheus")]
    before = Scope({})
    for label, name in scope.filters.items():
        found.append(_severity() if label == "severity" else _of_label(label, name, before, is_one=label in one_of))
        before = Scope({**before.filters, label: name})
    exporter_url = _text(
        "exporter_url",
        "Exporter URL",
        "Where your browser reaches the exporter. Links to its pages and its API begin with this.",
        EXPORTER_URL,
    )
    return [*found, *others, exporter_url]


def search(name: str, label: str, description: str) -> build.TextBoxVariable:
    """Return a text that is searched for."""
    return _text(name, label, description, "")


def raw() -> build.QueryVariable:
    """Return the hidden choice of raw series where no recording rule has made cheaper ones."""
    query = f'query_result(label_replace(absent({ATTENTION_RECORD}), "{RAW}", "{ANY}", "", ""))'
    return _queried(RAW, query, kind=3).regex(f'/{RAW}="(.*)"/').hide(VariableHide.HIDE_VARIABLE)


def _of_label(label: str, name: str, before: Scope, *, is_one: bool) -> build.QueryVariable:
    title, sample = _OF_LABELS[label]
    variable = _queried(name, f"label_values({before.series(sample)}, {label})", kind=1)
    variable.label(title).multi(not is_one).include_all(True).all_value(ANY)
    return variable if is_one else variable.current(_ALL)


def _queried(name: str, query: str, *, kind: int) -> build.QueryVariable:
    """Return a choice of what Prometheus answers; the kinds of questions have numbers in Grafana."""
    return (
        build.QueryVariable(name)
        .datasource(DATASOURCE)
        .query({"qryType": kind, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"})
        .definition(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def _severity() -> build.CustomVariable:
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


def _text(name: str, label: str, description: str, text: str) -> build.TextBoxVariable:
    current = VariableOption(selected=True, text=text, value=text)
    return build.TextBoxVariable(name).label(label).description(description).default_value(text).current(current)
