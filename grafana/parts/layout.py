"""The layout: bands of panels from top to bottom, then collapsed sections of bands."""

from collections.abc import Iterable, Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.dashboard import Dashboard, DashboardCursorSync, GridPos, Panel, RowPanel
from msgspec import Struct

from grafana.parts.alerts import marks
from grafana.parts.links import TAG, siblings
from grafana.parts.queries import Scope
from grafana.parts.variables import Variable

COLUMNS: Final = 24


class Band(Struct, frozen=True):
    """Panels of one height side by side, over the whole width."""

    height: int
    panels: Sequence[Panel]
    widths: Sequence[int] = ()  # in columns; empty: all the same

    def placed(self, top: int) -> list[Panel]:
        """Put the panels where they belong and return them."""
        widths = self.widths or [COLUMNS // len(self.panels)] * len(self.panels)
        left = 0
        for panel, width in zip(self.panels, widths, strict=True):
            panel.grid_pos = GridPos(h=self.height, w=width, x=left, y=top)
            left += width
        return list(self.panels)


class Section(Struct, frozen=True):
    """Bands that a click on a question shows."""

    id: int
    title: str
    bands: Sequence[Band]


def graphs(*panels: Panel) -> Band:
    """Return a band of graphs of the same width."""
    return Band(8, panels)


def finished(
    title: str,
    uid: str,
    description: str,
    *,
    variables: Sequence[Variable],
    scope: Scope,
    top: Sequence[Band],
    sections: Sequence[Section],
) -> Dashboard:
    """Return a whole dashboard."""
    dashboard = (
        build.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .readonly()
        .timezone("browser")
        .time("now-15m", "now")  # not longer than a fresh demonstration runs
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .variables(list(variables))
        .annotations(list(marks(scope)))
        .link(siblings())
        .build()
    )
    dashboard.panels = list(_arranged(top, sections))
    return dashboard


def _arranged(top: Sequence[Band], sections: Sequence[Section]) -> Iterable[Panel | RowPanel]:
    line = 0
    for band in top:
        yield from band.placed(line)
        line += band.height
    for section in sections:
        row = build.Row(section.title).id(section.id).collapsed(True).build()
        row.grid_pos = GridPos(h=1, w=COLUMNS, x=0, y=line)
        line += 1
        below = line
        for band in section.bands:
            row.panels += band.placed(below)
            below += band.height
        yield row
