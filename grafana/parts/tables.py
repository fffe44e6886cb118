"""Tables: some columns are labels, others are queries, and rows with the same labels become one."""

from collections.abc import Sequence
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as shape
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    Panel,
    ValueMapping,
)
from msgspec import Struct

from grafana.parts.links import Link
from grafana.parts.looks import plain
from grafana.parts.panels import About
from grafana.parts.targets import DATASOURCE, rows

MISSING = "–"  # noqa: RUF001 - a dash as people see it


class Labelled(Struct, frozen=True, kw_only=True):
    """A column that shows a label of the rows."""

    title: str
    label: str
    width: int | None = None
    mappings: Sequence[ValueMapping] = ()
    links: Sequence[Link] = ()


class Queried(Struct, frozen=True, kw_only=True):
    """A column that shows the value of a query."""

    title: str
    query: str
    unit: str = "short"
    width: int | None = None
    decimals: int | None = None
    thresholds: build.ThresholdsConfig | None = None  # colour the text
    mappings: Sequence[ValueMapping] = ()
    is_gauge: bool = False  # whether a share from 0 to 1 is drawn as a bar
    is_hidden: bool = False  # whether it only decides which rows there are


Column = Labelled | Queried


def rows_and_columns(
    about: About, columns: Sequence[Column], *, sorted_by: str, descending: bool = True, no_value: str
) -> Panel:
    """Return a table.

    The first query decides nothing by itself: a row that one query has and another lacks shows a dash there.

    Args:
        about: What it is.
        columns: From left to right.
        sorted_by: The title of the column that the rows are sorted by at first.
        descending: In which order.
        no_value: What it says when it has no rows.
    """
    queries = [column for column in columns if isinstance(column, Queried)]
    refs = dict(zip([column.title for column in queries], ascii_uppercase, strict=False))
    panel = (
        table.Panel()
        .id(about.id)
        .title(about.title)
        .description(about.description)
        .datasource(DATASOURCE)
        .targets([rows(column.query, ref=refs[column.title]) for column in queries])
        .unit("short")
        .no_value(no_value)
        .thresholds(plain())
        .cell_height(shape.TableCellHeight.SM)
        .show_header(True)
        .align(shape.FieldTextAlignment.AUTO)
        .filterable(False)
        .sort_by([common.TableSortByFieldState().display_name(sorted_by).desc(descending)])
        .transformations(_transformations(columns, refs))
    )
    for column in filter(_is_shown, columns):
        panel.override_by_name(column.title, _properties(column))
    return panel.build()


def _transformations(columns: Sequence[Column], refs: dict[str, str]) -> list[DataTransformerConfig]:
    """Return what makes one frame of all queries, and of that the columns in their order."""
    hidden = [_field(column, refs) for column in columns if not _is_shown(column)]
    shown = {_field(column, refs): column.title for column in columns if _is_shown(column)}
    return [
        DataTransformerConfig(id_val="merge", options={}),
        DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": dict.fromkeys(("Time", *hidden), True),
                "indexByName": {field: place for place, field in enumerate(shown)},
                "renameByName": shown,
            },
        ),
    ]


def _field(column: Column, refs: dict[str, str]) -> str:
    """Return the name that Grafana gives the column: of several queries each has its own."""
    if isinstance(column, Labelled):
        return column.label
    return f"Value #{refs[column.title]}" if len(refs) > 1 else "Value"


def _is_shown(column: Column) -> bool:
    return isinstance(column, Labelled) or not column.is_hidden


def _properties(column: Column) -> list[DynamicConfigValue]:
    """Return how a column looks."""
    found = [DynamicConfigValue("noValue", MISSING)]
    if column.width is not None:
        found.append(DynamicConfigValue("custom.width", column.width))
    if column.mappings:
        found.append(DynamicConfigValue("mappings", list(column.mappings)))
    if isinstance(column, Labelled):
        # A TaskId of digits alone stays what it is.
        found.append(DynamicConfigValue("unit", "string"))
        if column.links:
            found.append(DynamicConfigValue("links", list(column.links)))
        if column.mappings:
            found.append(_cell("color-text"))
        return found
    found.append(DynamicConfigValue("unit", column.unit))
    if column.decimals is not None:
        found.append(DynamicConfigValue("decimals", column.decimals))
    if column.thresholds is not None:
        found += [
            DynamicConfigValue("thresholds", column.thresholds.build()),
            DynamicConfigValue("color", {"mode": "thresholds"}),
        ]
    if column.is_gauge:
        found += [DynamicConfigValue("min", 0), DynamicConfigValue("max", 1), _cell("gauge")]
    elif column.thresholds is not None or column.mappings:
        found.append(_cell("color-text"))
    return found


def _cell(kind: str) -> DynamicConfigValue:
    options = {"type": kind, "mode": "basic", "valueDisplayMode": "text"} if kind == "gauge" else {"type": kind}
    return DynamicConfigValue("custom.cellOptions", options)
