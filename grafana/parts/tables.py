"""Tables: some columns are labels, others are queries, and rows with the same labels become one."""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Final

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as shape
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    Panel,
    ValueMapping,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from msgspec import Struct

from grafana.parts.links import Link
from grafana.parts.looks import RANKS, plain, words
from grafana.parts.panels import headed, queried

MISSING = "–"  # noqa: RUF001 - a dash as people see it


class Labelled(Struct, frozen=True):
    """A column that shows a label of the rows."""

    title: str
    label: str
    width: int | None = None
    mappings: Sequence[ValueMapping] = ()
    links: Sequence[Link] = ()


class Queried(Struct, frozen=True):
    """A column that shows the value of a query."""

    title: str  # none: it only decides which rows there are
    query: str
    width: int | None = None
    unit: str = "short"
    decimals: int | None = None
    thresholds: build.ThresholdsConfig | None = None  # colour the text
    mappings: Sequence[ValueMapping] = ()
    is_gauge: bool = False  # whether a share from 0 to 1 is drawn as a bar


Column = Labelled | Queried
SEVERITY: Final = Labelled("Severity", "rank", 85, words(RANKS))


def rows_and_columns(
    id_: int, title: str, description: str, columns: Sequence[Column], *, sorted_by: Sequence[str], no_value: str
) -> Panel:
    """Return a table.

    Rows of several queries become one where all labels that the queries have in common are the same; a row that one
    query has and another lacks shows a dash there.

    They are sorted by the columns with the titles `sorted_by` at first; one after `-` from high to low.
    """
    queries = [column for column in columns if isinstance(column, Queried)]
    fields = {id(column): f"Value #{ref}" for column, ref in zip(queries, ascii_uppercase, strict=False)}
    if len(queries) == 1:
        fields = {id(queries[0]): "Value"}
    shown = {column.label if isinstance(column, Labelled) else fields[id(column)]: column for column in columns}
    hidden = [field for field, column in shown.items() if not column.title]
    titles = {field: column.title for field, column in shown.items() if column.title}
    order = [common.TableSortByFieldState().display_name(by.lstrip("-")).desc(by.startswith("-")) for by in sorted_by]
    panel = (
        headed(table.Panel(), id_, title, description)
        .targets(
            [
                queried(column.query, ref=ref).instant().format(PromQueryFormat.TABLE)
                for column, ref in zip(queries, ascii_uppercase, strict=False)
            ]
        )
        .unit("short")
        .no_value(no_value)
        .thresholds(plain())
        .cell_height(shape.TableCellHeight.SM)
        .show_header(True)
        .align(shape.FieldTextAlignment.AUTO)
        .filterable(False)
        .sort_by(list(order))
        .transformations(
            [
                DataTransformerConfig(id_val="merge", options={}),
                DataTransformerConfig(
                    id_val="organize",
                    options={
                        "excludeByName": dict.fromkeys(("Time", *hidden), True),
                        "indexByName": {field: place for place, field in enumerate(titles)},
                        "renameByName": titles,
                    },
                ),
            ]
        )
    )
    for column in columns:
        if column.title:
            panel.override_by_name(column.title, _properties(column))
    return panel.build()


def _properties(column: Column) -> list[DynamicConfigValue]:
    """Return how a column looks."""
    found: dict[str, object] = {"noValue": MISSING, "custom.width": column.width, "mappings": list(column.mappings)}
    if isinstance(column, Labelled):
        # A TaskId of digits alone stays what it is.
        found |= {"unit": "string", "links": list(column.links)}
    else:
        found |= {"unit": column.unit, "decimals": column.decimals}
        if column.thresholds is not None:
            found |= {"thresholds": column.thresholds.build(), "color": {"mode": "thresholds"}}
        if column.is_gauge:
            gauge = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
            return _set(found | {"min": 0, "max": 1, "custom.cellOptions": gauge})
        if column.mappings:
            found["custom.align"] = "left"
    if column.mappings or "thresholds" in found:
        found["custom.cellOptions"] = {"type": "color-text"}
    return _set(found)


def _set(found: Mapping[str, object]) -> list[DynamicConfigValue]:
    return [DynamicConfigValue(name, value) for name, value in found.items() if value not in (None, [])]
