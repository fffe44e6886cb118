"""What a frame's width and height say: pure functions for label values and for rules."""

from typing import Final

SHORT_SIDES: Final = (1080, 720, 480, 360)
OTHER_RESOLUTION: Final = "other"
RESOLUTIONS: Final = (
    *(f"{side}p" for side in SHORT_SIDES),
    *(f"portrait_{side}p" for side in SHORT_SIDES),
    OTHER_RESOLUTION,
)
"""The names of resolutions."""


def resolution(width: int, height: int) -> str:
    """Return the resolution's name: by the short side, which must be met exactly."""
    if min(width, height) not in SHORT_SIDES:
        return OTHER_RESOLUTION
    return f"portrait_{width}p" if height > width else f"{height}p"


def pixels(width: int | None, height: int | None) -> int | None:
    """Return width x height; None unless both are numbers from 0."""
    return None if width is None or height is None or min(width, height) < 0 else width * height
