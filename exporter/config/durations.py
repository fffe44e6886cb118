"""Durations as Prometheus writes them: `100ms`, `30s`, `5m`, `1h30m`, `1d`."""

import re
from typing import Final

_UNIT_MILLISECONDS: Final = {
    "y": 365 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_LONGEST_DIGITS: Final = 12
PATTERN: Final = "".join(f"(?:([0-9]{{1,{_LONGEST_DIGITS}}}){unit})?" for unit in _UNIT_MILLISECONDS)
"""A regular expression that matches every duration (but for the plain `0`), and the empty text."""
_DURATION: Final = re.compile(PATTERN)
_LONGEST_MILLISECONDS: Final = 100 * _UNIT_MILLISECONDS["y"]
_SHOWN_UNITS: Final = ("d", "h", "m", "s", "ms")


def parse_duration(text: str) -> float:
    """Return the seconds that a duration such as `1h30m` means; `0` needs no unit.

    Raises ValueError if the text is no duration, or longer than a hundred years.
    """
    if text == "0":
        return 0.0
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError("no duration; write it as 100ms, 30s, 5m or 1h30m")
    milliseconds = sum(
        int(count or 0) * unit for count, unit in zip(match.groups(), _UNIT_MILLISECONDS.values(), strict=True)
    )
    if milliseconds > _LONGEST_MILLISECONDS:
        raise ValueError("longer than a hundred years")
    return milliseconds / 1000


def format_duration(seconds: float) -> str:
    """Return seconds, rounded to milliseconds, as the shortest duration: 5400 is `1h30m`, 0 is `0s`."""
    rest = round(seconds * 1000)
    parts = []
    for unit in _SHOWN_UNITS:
        count, rest = divmod(rest, _UNIT_MILLISECONDS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
