"""Panels of one style: each says what it shows, how to read it, and what it means to see nothing."""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Final, Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, heatmap, prometheus, stat, statetimeline, text, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as shape
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import (
    DynamicConfigValue,
    FieldColorModeId,
    MatcherConfig,
    Panel,
    ValueMapping,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

from grafana.parts.links import Link
from grafana.parts.looks import NOTICE, PLAIN, SEVERITY_COLOURS, colours, plain, rising, words
from grafana.parts.queries import NOTHING

DATASOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
NO_DATA: Final = "No data: not collected yet, or withdrawn"
LAST: Final = common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("")

Legends = Mapping[str, str]
"""The series' name, which may have labels in it such as `{{app_id}}`, and the query."""


class _Builder(Protocol):
    """What the builders of all kinds of panels have in common."""

    def id(self, id_val: int) -> Self: ...
    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: DataSourceRef) -> Self: ...
    def with_override(self, matcher: MatcherConfig, properties: list[DynamicConfigValue]) -> Self: ...


Builder = TypeVar("Builder", bound=_Builder)


def headed(builder: Builder, id_: int, title: str, description: str, link: Link | None = None) -> Builder:
    """Give a panel what all have; the id never changes, since links to a single panel name it."""
    builder.id(id_).title(title).description(description).datasource(DATASOURCE)
    if link is not None:
        builder.with_override(MatcherConfig(id_val="byRegexp", options=".*"), [DynamicConfigValue("links", [link])])
    return builder


def queried(expression: str, *, ref: str = "A") -> prometheus.Dataquery:
    """Return a query as panels have it."""
    return prometheus.Dataquery().datasource(DATASOURCE).expr(expression).ref_id(ref)


def now(queries: Legends) -> list[prometheus.Dataquery]:
    """Return queries of the last moment alone.

    Whatever shows one number uses this: over a range the last number that there was would be shown, also after it
    was withdrawn.
    """
    return [query.instant() for query in _named(queries)]


def history(queries: Legends) -> list[prometheus.Dataquery]:
    """Return queries over the time that is shown."""
    return [query.range() for query in _named(queries)]


def _named(queries: Legends) -> list[prometheus.Dataquery]:
    named = zip(ascii_uppercase, queries.items(), strict=False)
    return [queried(expression, ref=ref).legend_format(legend) for ref, (legend, expression) in named]


def note(id_: int, markdown: str) -> Panel:
    """Return a line of text without a frame."""
    return text.Panel().id(id_).title("").transparent(True).mode(TextMode.MARKDOWN).content(markdown).build()


def number(
    id_: int,
    title: str,
    description: str,
    queries: str | Legends,
    *,
    link: Link,
    unit: str = "short",
    thresholds: build.ThresholdsConfig | None = None,
    mappings: Sequence[ValueMapping] = (),
    decimals: int | None = None,
    no_value: str = "No data",
    nothing: str = "",  # what it says for a query that `or_nothing` has answered
    shows_name: bool = False,  # the series' instead of its value, in the value's colour
) -> Panel:
    """Return big numbers in the colours of their thresholds: of several queries each with its name."""
    several = {"": queries} if isinstance(queries, str) else queries
    mode = shape.BigValueTextMode.VALUE if len(several) == 1 else shape.BigValueTextMode.VALUE_AND_NAME
    panel = (
        headed(stat.Panel(), id_, title, description, link)
        .targets(list(now(several)))
        .unit(unit)
        .thresholds(thresholds or plain())
        .mappings([*mappings, *(words({int(NOTHING): (nothing, PLAIN)}) if nothing else ())])
        .color_scheme(build.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .no_value(no_value)
        .graph_mode(shape.BigValueGraphMode.NONE)
        .color_mode(shape.BigValueColorMode.VALUE)
        .justify_mode(shape.BigValueJustifyMode.CENTER)
        .text_mode(shape.BigValueTextMode.NAME if shows_name else mode)
        .reduce_options(LAST)
    )
    if decimals is not None:
        panel.decimals(decimals)
    for severity in filter(several.__contains__, SEVERITY_COLOURS):
        of_severity = rising(**{SEVERITY_COLOURS[severity]: 1}).build()
        panel.override_by_name(severity, [DynamicConfigValue("thresholds", of_severity)])
    return panel.build()


def graph(
    id_: int,
    title: str,
    description: str,
    queries: Legends,
    *,
    unit: str = "short",
    stacked: bool = False,
    limit: build.ThresholdsConfig | None = None,  # drawn as dashed lines
    decimals: int | None = None,
    no_value: str = NO_DATA,
    many_series: bool = False,  # the legend is a table with the last and the highest values, the highest first
    dashed: str = "",
    soft_highest: float | None = None,  # how far the axis reaches at least
    link: Link | None = None,
) -> Panel:
    """Return lines over time, from the bottom of a stack to its top.

    Series whose names begin with `dashed` are limits: they are dashed, in the colour of the series that they limit.
    """
    panel = (
        headed(timeseries.Panel(), id_, title, description, link)
        .targets(list(history(queries)))
        .unit(unit)
        .min(0)
        .no_value(no_value)
        .thresholds(limit or plain())
        .thresholds_style(
            common.GraphThresholdsStyleConfig().mode(
                shape.GraphThresholdsStyleMode.DASHED if limit else shape.GraphThresholdsStyleMode.OFF
            )
        )
        .color_scheme(build.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
        .draw_style(shape.GraphDrawStyle.LINE)
        .line_width(1)
        .fill_opacity(35 if stacked else 0 if many_series else 8)
        .show_points(shape.VisibilityMode.NEVER)
        .span_nulls(False)
        .stacking(
            common.StackingConfig().group("A").mode(shape.StackingMode.NORMAL if stacked else shape.StackingMode.NONE)
        )
        .legend(_legend(many_series=many_series))
        .tooltip(common.VizTooltipOptions().mode(shape.TooltipDisplayMode.MULTI).sort(shape.SortOrder.DESCENDING))
    )
    if decimals is not None:
        panel.decimals(decimals)
    if soft_highest is not None:
        panel.axis_soft_max(soft_highest)
    limited = [legend for legend in queries if not dashed or not legend.startswith(dashed)]
    for name, colour in colours(limited).items():
        same = f"({dashed})?{name}" if dashed else name
        panel.with_override(
            MatcherConfig(id_val="byRegexp" if dashed else "byName", options=same),
            [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})],
        )
    if dashed:
        dashes = {"fill": "dash", "dash": [10, 10]}
        panel.override_by_regexp(
            f"{dashed}.*", [DynamicConfigValue("custom.lineStyle", dashes), DynamicConfigValue("custom.fillOpacity", 0)]
        )
    return panel.build()


def distribution(id_: int, title: str, description: str, expression: str, *, unit: str) -> Panel:
    """Return a histogram's buckets over time: the stronger the colour, the more values lie in a bucket."""
    buckets = queried(expression).range().format(PromQueryFormat.HEATMAP).legend_format("{{le}}")
    return (
        headed(heatmap.Panel(), id_, title, description)
        .with_target(buckets)
        .unit("short")
        .no_value(NO_DATA)
        .calculate(False)
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heat.HeatmapColorMode.SCHEME)
            .scheme("Blues")
            .fill("blue")
            .scale(heat.HeatmapColorScale.EXPONENTIAL)
            .exponent(0.5)
            .min(0)
            .steps(64)
            .reverse(False)
        )
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .cell_gap(1)
        .cell_values(heatmap.CellValues().unit("short"))
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(shape.AxisPlacement.LEFT))
        .tooltip(heatmap.HeatmapTooltip().mode(shape.TooltipDisplayMode.SINGLE).y_histogram(True))
        .show_legend()
        .build()
    )


def bars(id_: int, title: str, description: str, queries: Legends, *, no_value: str = NO_DATA) -> Panel:
    """Return one horizontal bar for each series, in the order of the queries."""
    return (
        headed(bargauge.Panel(), id_, title, description)
        .targets(list(now(queries)))
        .unit("short")
        .min(0)
        .no_value(no_value)
        .thresholds(plain())
        .color_scheme(build.FieldColor().mode(FieldColorModeId.FIXED).fixed_color(NOTICE))
        .orientation(shape.VizOrientation.HORIZONTAL)
        .display_mode(shape.BarGaugeDisplayMode.BASIC)
        .value_mode(shape.BarGaugeValueMode.TEXT)
        .name_placement(shape.BarGaugeNamePlacement.LEFT)
        .show_unfilled(False)
        .sizing(shape.BarGaugeSizing.MANUAL)
        .min_viz_height(16)
        .max_viz_height(24)
        .text(common.VizTextDisplayOptions().value_size(14))
        .reduce_options(LAST)
        .build()
    )


def timeline(
    id_: int,
    title: str,
    description: str,
    queries: Legends,
    mappings: Sequence[ValueMapping],
    *,
    mappings_of: Mapping[str, Sequence[ValueMapping]] | None = None,
    no_value: str = NO_DATA,
    per_page: int = 12,
    link: Link | None = None,
) -> Panel:
    """Return a bar for each series, divided where its state changes; a gap is a time without data.

    What the numbers mean may differ in single series, by name. More bars than `per_page` are on further pages.
    """
    panel = (
        headed(statetimeline.Panel(), id_, title, description, link)
        .targets(list(history(queries)))
        .unit("short")
        .no_value(no_value)
        .thresholds(plain())
        # With the mode `thresholds` Grafana ignores the mappings of merged values.
        .color_scheme(build.FieldColor().mode(FieldColorModeId.FIXED).fixed_color(PLAIN))
        .mappings(list(mappings))
        .merge_values(True)
        .show_value(shape.VisibilityMode.AUTO)
        .row_height(0.8)
        .fill_opacity(75)
        .line_width(0)
        .per_page(per_page)
        .legend(common.VizLegendOptions().show_legend(False))
        .tooltip(common.VizTooltipOptions().mode(shape.TooltipDisplayMode.SINGLE))
    )
    for name, others in (mappings_of or {}).items():
        panel.override_by_regexp(name, [DynamicConfigValue("mappings", list(others))])
    return panel.build()


def _legend(*, many_series: bool) -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(True).placement(shape.LegendPlacement.BOTTOM)
    if not many_series:
        return legend.display_mode(shape.LegendDisplayMode.LIST).calcs([])
    return (
        legend.display_mode(shape.LegendDisplayMode.TABLE)
        .placement(shape.LegendPlacement.RIGHT)
        .calcs(["last", "max"])
        .sort_by("Last")
        .sort_desc(True)
    )
