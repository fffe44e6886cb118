"""`/apps/…/tasks/…`: one task's configuration, its panes as a drawing, and what rules found about it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, zip_longest
from math import isfinite
from typing import Any, Final, NamedTuple

from msgspec import Struct

from exporter.collector.past import HistoryError, HistoryFilter, PastViolation, RecordedChange
from exporter.core.task import Configuration, Encoding, Pane
from exporter.metrics import labels
from exporter.rules.rule import Outcome
from exporter.web.pages.rendering import PageError, app_path
from exporter.web.query import Query
from exporter.web.view import TaskFinding, View

LONG_SIDE: Final = 960.0  # in units of the drawing
MOST_PANES: Final = 40  # drawn at most
LEAST_OVERLAP: Final = 1e-6  # share of the frame's area; less is rounding
_DEFAULT_SIZE: Final = (16, 9)
_LARGEST_ASPECT: Final = 4.0
_ROUNDED_1: Final = 1 + 1e-9  # what the sides of panes that fill the frame may add up to


class Rectangle(NamedTuple):
    """A part of the drawing, or of the frame as a square of 1."""

    x: float
    y: float
    width: float
    height: float

    def shared(self, other: "Rectangle") -> "Rectangle | None":
        """Return what is in both."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        width = min(self.x + self.width, other.x + other.width) - x
        height = min(self.y + self.height, other.y + other.height) - y
        return Rectangle(x, y, width, height) if width > 0 and height > 0 else None

    def scaled(self, width: float, height: float) -> "Rectangle":
        """Return it in other units, rounded."""
        scales = (width, height, width, height)
        return Rectangle(*(round(side * scale, 1) for side, scale in zip(self, scales, strict=True)))


_FRAME: Final = Rectangle(0.0, 0.0, 1.0, 1.0)


class DrawnPane(Struct, frozen=True):
    """A pane in the drawing."""

    number: int  # position in the task's list, from 1
    rectangle: Rectangle
    layer: int  # ZOrder, else 0
    leaves_frame: bool  # whether a part is outside of the frame and not drawn


class PaneLayout(Struct, frozen=True):
    """A drawing of a task's panes."""

    width: float
    height: float
    panes: Sequence[DrawnPane]  # lowest first
    labels: Sequence[tuple[float, float, str]]  # positions of pane numbers; panes that begin at one point share a label
    overlaps: Sequence[Rectangle]  # areas shared by panes of one layer
    overlapping: frozenset[int]  # numbers of panes that overlap another one of their layer
    not_drawn: int  # panes without a readable position in the frame, and those beyond `MOST_PANES`


def pane_layout(panes: Sequence[Pane], encoding: Encoding | None) -> PaneLayout | None:
    """Return the drawing; None without panes."""
    if not panes:
        return None
    width, height = _frame(encoding)
    placed = (_placed(number, pane, width, height) for number, pane in enumerate(panes[:MOST_PANES], start=1))
    drawn = sorted((pane for pane in placed if pane is not None), key=lambda pane: (pane.layer, pane.number))
    overlaps: dict[Rectangle, None] = {}
    overlapping = set[int]()
    for one, other in combinations(drawn, 2):
        shared = one.rectangle.shared(other.rectangle) if one.layer == other.layer else None
        if shared is not None and shared.width * shared.height > LEAST_OVERLAP * width * height:
            overlaps[shared.scaled(1, 1)] = None
            overlapping |= {one.number, other.number}
    return PaneLayout(
        width=width,
        height=height,
        panes=drawn,
        labels=_labels(drawn),
        overlaps=tuple(overlaps),
        overlapping=frozenset(overlapping),
        not_drawn=len(panes) - len(drawn),
    )


def _labels(drawn: Sequence[DrawnPane]) -> Sequence[tuple[float, float, str]]:
    numbers: dict[tuple[float, float], list[int]] = {}
    for pane in drawn:
        numbers.setdefault((pane.rectangle.x, pane.rectangle.y), []).append(pane.number)
    return [(x, y, ", ".join(map(str, sorted(several)))) for (x, y), several in numbers.items()]


def _frame(encoding: Encoding | None) -> tuple[float, float]:
    """Return the size of the drawing in the video's aspect ratio; 16:9 if that is unknown or extreme."""
    width, height = _DEFAULT_SIZE
    if encoding is not None:
        video = encoding.video
        if video.width and video.height and video.width > 0 and video.height > 0:
            aspect = video.width / video.height
            if 1 / _LARGEST_ASPECT <= aspect <= _LARGEST_ASPECT:
                width, height = video.width, video.height
    scale = LONG_SIDE / max(width, height)
    return round(width * scale, 1), round(height * scale, 1)


def _placed(number: int, pane: Pane, width: float, height: float) -> DrawnPane | None:
    sides = (pane.x, pane.y, pane.width, pane.height)
    if not all(side is not None and isfinite(side) for side in sides):
        return None
    whole = Rectangle(*(side or 0.0 for side in sides))
    inside = whole.shared(_FRAME)
    if inside is None:
        return None
    ends = max(whole.x + whole.width, whole.y + whole.height)
    leaves_frame = min(whole.x, whole.y) < 0 or ends > _ROUNDED_1
    return DrawnPane(number, inside.scaled(width, height), layer=pane.z_order or 0, leaves_frame=leaves_frame)


_CDNS: Final = {True: "Alibaba Cloud CDN", False: "another CDN", None: "not said"}
_WORST_FIRST: Final = (Outcome.VIOLATION, Outcome.ERROR, Outcome.EXEMPT)


async def shown_task(view: View, query: Query, _now: float) -> tuple[str, Mapping[str, Any]]:
    """Return the template and its values; raises PageError if there is and was no such task."""
    account, app_id, task_id = query.account, query.app_id, query.task_id
    task = view.task(account, app_id, task_id)
    try:
        rows = await timeline(view, account, app_id, task_id)
    except HistoryError:
        rows = ()
    if task is None and rows:
        return "gone", {"account": account, "app_id": app_id, "task_id": task_id, "timeline": rows}
    if task is None:
        message = f"The app {app_id} of the account {account} has no task {task_id}, or has it no more."
        raise PageError(404, "No such task", message, app_path("", account, app_id), "To the app")
    configuration = task.entry.configuration
    shown = [finding for finding in task.findings if finding.outcome in _WORST_FIRST]
    return "task", {
        "collected": task.status,
        "entry": task.entry,
        "configuration": configuration,
        "billing_tier": labels.billing_tier(configuration),
        "streams": kinds_of_streams(configuration),
        "outputs": [
            (output, _CDNS[output.is_ali_cdn], key)
            for output, key in zip_longest(configuration.outputs, task.push_keys)
        ],
        "panes": tuple(enumerate(configuration.panes, start=1)),
        "layout": pane_layout(configuration.panes, configuration.encoding),
        "findings": sorted(shown, key=_urgency),
        "passed": _rule_names(task.findings, Outcome.PASS),
        "not_applicable": _rule_names(task.findings, Outcome.NOT_APPLICABLE),
        "timeline": rows,
    }


def kinds_of_streams(configuration: Configuration) -> str | None:
    """Return how many users send which streams, in words."""
    streams = Counter(" ".join(filter(None, stream)) for stream in configuration.user_streams)
    return ", ".join(f"{count} x {stream}" for stream, count in streams.items() if stream) or None


def _urgency(finding: TaskFinding) -> tuple[int, int, str]:
    return _WORST_FIRST.index(finding.outcome), -finding.rule.severity.rank, finding.rule.name


def _rule_names(findings: Iterable[TaskFinding], outcome: Outcome) -> Sequence[str]:
    return sorted(finding.rule.name for finding in findings if finding.outcome is outcome)


MOST_ROWS: Final = 100  # of a timeline


class TimelineRow(Struct, frozen=True):
    """A change of a task, or a violation."""

    time: float
    change: RecordedChange | None = None
    violation: PastViolation | None = None


async def timeline(view: View, account: str, app_id: str, task_id: str) -> Sequence[TimelineRow]:
    """Return the newest changes and violations of a task, newest first; may raise HistoryError."""
    wanted = HistoryFilter(account=account, app_id=app_id, task_id=task_id, limit=MOST_ROWS)
    rows = [TimelineRow(each.noticed, change=each) for each in await view.past().changes(wanted)]
    rows += [TimelineRow(each.opened, violation=each) for each in await view.past().violations(wanted)]
    return sorted(rows, key=lambda row: -row.time)[:MOST_ROWS]
