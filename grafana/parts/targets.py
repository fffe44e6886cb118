"""Queries as panels hold them."""

from typing import Final

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")


def now(expression: str, legend: str = "", *, ref: str = "A") -> prometheus.Dataquery:
    """Return a query of the last moment alone.

    Whatever shows one number uses this: over a range the last number that there was would be shown, also after it
    was withdrawn.
    """
    return _query(expression, ref).instant().legend_format(legend)


def history(expression: str, legend: str, *, ref: str = "A") -> prometheus.Dataquery:
    """Return a query over the time that is shown."""
    return _query(expression, ref).range().legend_format(legend)


def rows(expression: str, *, ref: str) -> prometheus.Dataquery:
    """Return a query of the last moment, each series a row with its labels as columns."""
    return _query(expression, ref).instant().format(PromQueryFormat.TABLE)


def buckets(expression: str) -> prometheus.Dataquery:
    """Return a query of a histogram's buckets over the time that is shown."""
    return _query(expression, "A").range().format(PromQueryFormat.HEATMAP).legend_format("{{le}}")


def _query(expression: str, ref: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().datasource(DATASOURCE).expr(expression).ref_id(ref)
