"""What a frame's width and height say."""

import pytest

from exporter.core.task import RESOLUTIONS, pixels, resolution


@pytest.mark.parametrize(
    ("width", "height", "name"),
    [
        (1920, 1080, "1080p"),
        (720, 720, "720p"),
        (480, 854, "portrait_480p"),
        (640, 361, "other"),
        (0, 0, "other"),
        (-360, 360, "other"),
    ],
)
def test_the_short_side_names_the_resolution(width: int, height: int, name: str) -> None:
    """It must be met exactly; a picture that is higher than wide is named as such."""
    assert resolution(width, height) == name
    assert name in RESOLUTIONS


@pytest.mark.parametrize(
    ("width", "height", "area"),
    [(1280, 720, 921_600), (0, 720, 0), (-1, -1, None), (None, 720, None), (1280, None, None)],
)
def test_pixels_need_both_numbers(width: int | None, height: int | None, area: int | None) -> None:
    """A missing number or one below 0 measures nothing."""
    assert pixels(width, height) == area
