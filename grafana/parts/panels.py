"""Panels of one style: each says what it shows, how to read it, and what it means to see nothing."""

from collections.abc import Mapping, Sequence
from typing import Final

from grafana_foundation_sdk.builders import bargauge, common, heatmap, prometheus, stat, statetimeline, text, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as shape
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models.dashboard import (
    DynamicConfigValue,
    FieldColorModeId,
    MatcherConfig,
    Panel,
    ValueMapping,
)
from grafana_foundation_sdk.models.text import TextMode
from msgspec import Struct

from grafana.parts.links import Link
from grafana.parts.looks import NOTICE, PLAIN, plain
from grafana.parts.targets import DATASOURCE, buckets

NO_DATA: Final = "No data: not collected yet, or withdrawn"


class About(Struct, frozen=True):
    """What every panel has."""

    id: int  # fixed for good: links to a single panel name it
    title: str
    description: str  # how to read it


def note(id_: int, markdown: str) -> Panel:
    """Return a line of text without a frame."""
    return text.Panel().id(id_).title("").transparent(True).mode(TextMode.MARKDOWN).content(markdown).build()


def number(
    about: About,
    query: prometheus.Dataquery,
    *,
    unit: str = "short",
    thresholds: build.ThresholdsConfig | None = None,
    mappings: Sequence[ValueMapping] = (),
    decimals: int | None = None,
    no_value: str = "No data",
    shows_name: bool = False,
    link: Link | None = None,
) -> Panel:
    """Return one big number, or with `shows_name` the name of its series, in the colour of its threshold."""
    panel = (
        stat.Panel()
        .id(about.id)
        .title(about.title)
        .description(about.description)
        .datasource(DATASOURCE)
        .with_target(query)
        .unit(unit)
        .thresholds(thresholds or plain())
        .mappings(list(mappings))
        .color_scheme(build.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .no_value(no_value)
        .graph_mode(shape.BigValueGraphMode.NONE)
        .color_mode(shape.BigValueColorMode.VALUE)
        .justify_mode(shape.BigValueJustifyMode.CENTER)
        .text_mode(shape.BigValueTextMode.NAME if shows_name else shape.BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
    )
    if decimals is not None:
        panel.decimals(decimals)
    if link is not None:
        _link_everything(panel, link)
    return panel.build()


def graph(
    about: About,
    queries: Sequence[prometheus.Dataquery],
    *,
    unit: str = "short",
    stacked: bool = False,
    colours: Mapping[str, str] | None = None,
    limit: build.ThresholdsConfig | None = None,
    decimals: int | None = None,
    no_value: str = NO_DATA,
    many_series: bool = False,
    dashed: str = "",
    lowest: float | None = 0,
    soft_highest: float | None = None,
    link: Link | None = None,
) -> Panel:
    """Return lines over time.

    Args:
        about: What it is.
        queries: What it draws.
        unit: Of the values.
        stacked: Whether the series add up to something.
        colours: Of the series that have a meaning, by name.
        limit: Thresholds that are drawn as dashed lines.
        decimals: As many as are shown; None: as fits.
        no_value: What it says when there is nothing to draw.
        many_series: Whether the legend is a table with the last and the highest values, the highest first.
        dashed: Matches the names of series that are limits of others: they are drawn dashed and without an area.
        lowest: Where the axis begins; None: where the values do.
        soft_highest: How far the axis reaches at least.
        link: Where a click on a series leads.
    """
    panel = (
        timeseries.Panel()
        .id(about.id)
        .title(about.title)
        .description(about.description)
        .datasource(DATASOURCE)
        .targets(list(queries))
        .unit(unit)
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
    if lowest is not None:
        panel.min(lowest)
    if soft_highest is not None:
        panel.axis_soft_max(soft_highest)
    for name, colour in (colours or {}).items():
        panel.override_by_name(name, [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})])
    if dashed:
        dashes = {"fill": "dash", "dash": [10, 10]}
        panel.override_by_regexp(
            dashed, [DynamicConfigValue("custom.lineStyle", dashes), DynamicConfigValue("custom.fillOpacity", 0)]
        )
    if link is not None:
        _link_everything(panel, link)
    return panel.build()


def distribution(about: About, expression: str, *, unit: str, decimals: int | None = None) -> Panel:
    """Return a histogram's buckets over time: the stronger the colour, the more values lie in a bucket."""
    axis = heatmap.YAxisConfig().unit(unit).axis_placement(shape.AxisPlacement.LEFT)
    if decimals is not None:
        axis.decimals(decimals)
    return (
        heatmap.Panel()
        .id(about.id)
        .title(about.title)
        .description(about.description)
        .datasource(DATASOURCE)
        .with_target(buckets(expression))
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
        .y_axis(axis)
        .tooltip(heatmap.HeatmapTooltip().mode(shape.TooltipDisplayMode.SINGLE).y_histogram(True))
        .show_legend()
        .build()
    )


def bars(about: About, query: prometheus.Dataquery, *, unit: str = "short", no_value: str = NO_DATA) -> Panel:
    """Return one horizontal bar for each series, in the order of the query."""
    return (
        bargauge.Panel()
        .id(about.id)
        .title(about.title)
        .description(about.description)
        .datasource(DATASOURCE)
        .with_target(query)
        .unit(unit)
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
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .build()
    )


def timeline(
    about: About,
    queries: Sequence[prometheus.Dataquery],
    mappings: Sequence[ValueMapping],
    *,
    mappings_of: Mapping[str, Sequence[ValueMapping]] | None = None,
    no_value: str = NO_DATA,
    link: Link | None = None,
) -> Panel:
    """Return a bar for each series, divided where its state changes; a gap is a time without data.

    Args:
        about: What it is.
        queries: The states as numbers.
        mappings: What the numbers mean.
        mappings_of: What they mean instead in single series, by name.
        no_value: What it says when there is nothing to draw.
        link: Where a click leads.
    """
    panel = (
        statetimeline.Panel()
        .id(about.id)
        .title(about.title)
        .description(about.description)
        .datasource(DATASOURCE)
        .targets(list(queries))
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
        .per_page(20)
        .legend(common.VizLegendOptions().show_legend(False))
        .tooltip(common.VizTooltipOptions().mode(shape.TooltipDisplayMode.SINGLE))
    )
    for name, others in (mappings_of or {}).items():
        panel.override_by_name(name, [DynamicConfigValue("mappings", list(others))])
    if link is not None:
        _link_everything(panel, link)
    return panel.build()


def _link_everything(panel: stat.Panel | timeseries.Panel | statetimeline.Panel, link: Link) -> None:
    panel.with_override(MatcherConfig(id_val="byRegexp", options=".*"), [DynamicConfigValue("links", [link])])


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
