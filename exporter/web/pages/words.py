"""Times, durations and numbers in plain words."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def spoken_duration(seconds: float) -> str:
    """Say a duration in its two largest units: `250 ms`, `12 s`, `3 min 5 s`, `2 d 4 h`."""
    if seconds < 1:
        return f"{round(max(0.0, seconds) * 1000)} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    (unit, size), (smaller, smaller_size) = next(pair for pair in pairwise(_UNITS) if seconds >= pair[0][1])
    rest = int(seconds % size // smaller_size)
    return f"{int(seconds // size)} {unit}" + (f" {rest} {smaller}" if rest else "")


def age(then: float, now: float) -> str:
    """Say how long ago something was, by wall-clock seconds."""
    seconds = int(now - then)
    return f"{spoken_duration(seconds)} ago" if seconds > 0 else "now"


def wait(then: float, now: float) -> str:
    """Say how far ahead something is, by wall-clock seconds."""
    seconds = then - now
    return f"in {spoken_duration(round(seconds))}" if seconds >= 1 else "now"


def timestamp(then: float) -> str:
    """Write a moment as RFC 3339 in UTC."""
    return datetime.fromtimestamp(then, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def number(value: int) -> str:
    """Write a number with thousands apart."""
    return f"{value:,}"


def rate(value: float) -> str:
    """Write a rate with two digits behind the point where they say anything."""
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def spaced(name: str) -> str:
    """Write a name of the closed sets as words."""
    return name.replace("_", " ")


def counted(count: int, noun: str) -> str:
    """Say how many there are."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
