"""The layout of a task's panes as a picture: where each is, which lies above, and where those of one layer overlap."""

from collections.abc import Sequence
from itertools import combinations
from math import isfinite
from typing import Final

from msgspec import Struct

from exporter.task import Encoding, Pane

LONG_SIDE: Final = 960.0
"""Units of the drawing."""
MOST_PANES: Final = 40
"""So many are drawn; a layout of more is none that anyone could read."""
LEAST_OVERLAP: Final = 1e-6
"""Of the frame's area: less is rounding."""
_DEFAULT_SIZE: Final = (16, 9)
_LARGEST_ASPECT: Final = 4.0


class Rectangle(Struct, frozen=True):
    """A part of the drawing, in its units."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Its area."""
        return self.width * self.height


class DrawnPane(Struct, frozen=True):
    """A pane in the drawing."""

    number: int
    """Its place in the task's list, from 1."""
    rectangle: Rectangle
    layer: int
    """ZOrder; 0 where it is not set."""
    leaves_frame: bool
    """Whether a part of it is outside of the frame, and not drawn."""


class PaneLayout(Struct, frozen=True):
    """The whole drawing."""

    width: float
    height: float
    panes: Sequence[DrawnPane]
    """From the lowest to the highest."""
    labels: Sequence[tuple[float, float, str]]
    """Where the numbers of panes stand: panes that begin at one place share a label."""
    overlaps: Sequence[Rectangle]
    """What panes of one layer share, each once."""
    overlapping: frozenset[int]
    """The numbers of the panes that share a part of the frame with another one of their layer."""
    not_drawn: int
    """Panes without a readable place in the frame, and those beyond `MOST_PANES`."""


def pane_layout(panes: Sequence[Pane], encoding: Encoding | None) -> PaneLayout | None:
    """Return the drawing; None: there is no pane."""
    if not panes:
        return None
    width, height = _frame(encoding)
    placed = (_placed(number, pane, width, height) for number, pane in enumerate(panes[:MOST_PANES], start=1))
    drawn = sorted((pane for pane in placed if pane is not None), key=lambda pane: (pane.layer, pane.number))
    overlaps: dict[Rectangle, None] = {}
    overlapping = set[int]()
    for one, other in combinations(drawn, 2):
        shared = _shared(one.rectangle, other.rectangle) if one.layer == other.layer else None
        if shared is not None and shared.area > LEAST_OVERLAP * width * height:
            overlaps[shared] = None
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
    """Return the size of the drawing, in the shape of the video; 16:9 where that is not known, or extreme."""
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
    """Return the part of a pane that is inside of the frame; None: there is none."""
    if pane.x is None or pane.y is None or pane.width is None or pane.height is None:
        return None
    if not all(map(isfinite, (pane.x, pane.y, pane.width, pane.height))):
        return None
    left, top = max(0.0, pane.x), max(0.0, pane.y)
    right, bottom = min(1.0, pane.x + pane.width), min(1.0, pane.y + pane.height)
    if right <= left or bottom <= top:
        return None
    leaves_frame = pane.x < 0 or pane.y < 0 or pane.x + pane.width > 1 + 1e-9 or pane.y + pane.height > 1 + 1e-9
    rectangle = Rectangle(
        x=round(left * width, 1),
        y=round(top * height, 1),
        width=round((right - left) * width, 1),
        height=round((bottom - top) * height, 1),
    )
    return DrawnPane(number, rectangle, layer=pane.z_order or 0, leaves_frame=leaves_frame)


def _shared(one: Rectangle, other: Rectangle) -> Rectangle | None:
    """Return what two rectangles share."""
    left, top = max(one.x, other.x), max(one.y, other.y)
    right = min(one.x + one.width, other.x + other.width)
    bottom = min(one.y + one.height, other.y + other.height)
    if right <= left or bottom <= top:
        return None
    return Rectangle(round(left, 1), round(top, 1), round(right - left, 1), round(bottom - top, 1))
