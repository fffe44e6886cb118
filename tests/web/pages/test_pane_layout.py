"""Where panes are drawn, and which are said to overlap."""

from math import inf, isfinite, nan

from hypothesis import given
from hypothesis import strategies as st

from exporter.task import Encoding, Pane
from exporter.web.pages.pane_layout import LONG_SIDE, MOST_PANES, PaneLayout, pane_layout
from tests.metrics.builders import encoding

ANY_NUMBER = st.one_of(st.none(), st.floats(), st.floats(-2, 2))


def pane(
    x: float | None, y: float | None, width: float | None, height: float | None, z_order: int | None = None
) -> Pane:
    """Return a pane at a place."""
    return Pane(x, y, width, height, z_order, None, None, has_background_image=False)


def layout(*panes: Pane, of: Encoding | None = None) -> PaneLayout:
    """Return the drawing of some panes."""
    drawn = pane_layout(panes, of)
    assert drawn is not None
    return drawn


def test_no_pane_is_no_drawing() -> None:
    """A task without layout has no picture."""
    assert pane_layout((), None) is None


def test_the_frame_has_the_shape_of_the_video() -> None:
    """Landscape, portrait, and 16:9 where the size is not known or makes no picture."""
    shapes = [
        (encoding(width=1280, height=720), (960, 540)),
        (encoding(width=720, height=1280), (540, 960)),
        (encoding(width=640, height=480), (960, 720)),
        (encoding(), (960, 540)),
        (None, (960, 540)),
        (encoding(width=0, height=720), (960, 540)),
        (encoding(width=100_000, height=1), (960, 540)),
    ]
    for of, size in shapes:
        drawn = layout(pane(0, 0, 1, 1), of=of)
        assert (drawn.width, drawn.height) == size


def test_panes_stand_side_by_side_without_overlap() -> None:
    """Neighbours that share a border share nothing else, whatever their rounding."""
    third = 1 / 3
    drawn = layout(*(pane(place * third, 0, third, 1) for place in range(3)))
    assert [one.rectangle.x for one in drawn.panes] == [0, 320, 640]
    assert (drawn.overlaps, drawn.overlapping, drawn.not_drawn) == ((), frozenset(), 0)
    assert not any(one.leaves_frame for one in drawn.panes)


def test_panes_of_one_layer_overlap() -> None:
    """What two of them share is marked once, and both are named."""
    drawn = layout(pane(0, 0, 0.5, 1), pane(0.25, 0, 0.5, 1), pane(0.25, 0, 0.5, 1), pane(0.9, 0, 0.1, 0.1))
    assert [(one.x, one.width) for one in drawn.overlaps] == [(240, 240), (240, 480)]
    assert drawn.overlapping == {1, 2, 3}
    assert [text for _, _, text in drawn.labels] == ["1", "2, 3", "4"]


def test_a_pane_above_another_is_no_overlap() -> None:
    """A picture in a picture is meant: the higher layer is drawn last, and nothing is marked."""
    drawn = layout(pane(0.7, 0.7, 0.2, 0.2, z_order=1), pane(0, 0, 1, 1, z_order=0))
    assert [one.number for one in drawn.panes] == [2, 1]
    assert drawn.overlapping == frozenset()


def test_a_pane_that_leaves_the_frame_is_cut() -> None:
    """The part inside is drawn, and that there is another part is said."""
    (drawn,) = layout(pane(-0.5, 0.5, 1, 1)).panes
    assert (drawn.rectangle.x, drawn.rectangle.width, drawn.rectangle.height) == (0, 480, 270)
    assert drawn.leaves_frame


def test_what_has_no_place_is_counted() -> None:
    """Missing, infinite, negative and far sizes are not drawn, and neither are panes beyond what can be read."""
    nowhere = [pane(None, 0, 1, 1), pane(nan, 0, 1, 1), pane(0, inf, 1, 1), pane(0, 0, -1, 1), pane(7, 0, 1, 1)]
    assert layout(pane(0, 0, 1, 1), *nowhere).not_drawn == 5
    assert layout(*[pane(0, 0, 0.1, 0.1)] * (MOST_PANES + 3)).not_drawn == 3


@given(st.lists(st.builds(pane, ANY_NUMBER, ANY_NUMBER, ANY_NUMBER, ANY_NUMBER, st.none() | st.integers()), min_size=1))
def test_everything_is_drawn_inside_of_the_frame(panes: list[Pane]) -> None:
    """Whatever the numbers, all that is drawn is finite and within the frame."""
    drawn = layout(*panes)
    assert len(drawn.panes) + drawn.not_drawn == len(panes)
    for one in [*(each.rectangle for each in drawn.panes), *drawn.overlaps]:
        assert all(map(isfinite, (one.x, one.y, one.width, one.height)))
        assert 0 <= one.x <= LONG_SIDE
        assert one.x + one.width <= drawn.width + 0.2
        assert one.y + one.height <= drawn.height + 0.2
