"""Which format and which encoding a scrape is answered with, by what its headers accept."""

from enum import Enum
from typing import Final, NamedTuple


class Format(Enum):
    """A format of the exposition; the value is its Content-Type."""

    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    OPENMETRICS_0_0_1 = "application/openmetrics-text; version=0.0.1; charset=utf-8"
    """The name that older Prometheus servers know the same format by."""
    TEXT = "text/plain; version=0.0.4; charset=utf-8"

    @property
    def content_type(self) -> str:
        """The header's value."""
        return self.value

    @property
    def is_openmetrics(self) -> bool:
        """Whether it is either of the names of OpenMetrics."""
        return self is not Format.TEXT


class _Range(NamedTuple):
    """One entry of an Accept header."""

    media: str
    version: str
    quality: float


_MEDIA: Final = {
    Format.OPENMETRICS: ("application/openmetrics-text", {"1.0.0"}),
    Format.OPENMETRICS_0_0_1: ("application/openmetrics-text", {"0.0.1"}),
    # The text format 1.0.0 is 0.0.4 with more characters allowed in names, none of which are used here.
    Format.TEXT: ("text/plain", {"0.0.4", "1.0.0"}),
}
_PREFERENCE: Final = (Format.OPENMETRICS, Format.OPENMETRICS_0_0_1, Format.TEXT)
_PREFERENCE_OF_ANYTHING: Final = (Format.TEXT, Format.OPENMETRICS, Format.OPENMETRICS_0_0_1)


def negotiate(accept: str | None) -> Format:
    """Return the format that an Accept header likes best.

    Between equals, OpenMetrics is preferred if it is named, and text where `*/*` stands for both. Text also
    is the answer where none of the formats is accepted, since a scrape is never refused.
    """
    ranges = [_media_range(entry) for entry in (accept or "").split(",") if entry.strip()]
    likings = {candidate: _liking(candidate, ranges) for candidate in Format}
    best = max(likings.values())
    quality, is_named = best
    if quality <= 0:
        return Format.TEXT
    preference = _PREFERENCE if is_named else _PREFERENCE_OF_ANYTHING
    return next(candidate for candidate in preference if likings[candidate] == best)


def wants_gzip(accept_encoding: str | None) -> bool:
    """Whether an Accept-Encoding header likes gzip at least as much as no encoding."""
    wanted = qualities(accept_encoding or "")
    gzip = wanted.get("gzip", wanted.get("x-gzip", wanted.get("*", 0.0)))
    return gzip > 0 and gzip >= wanted.get("identity", 0.0)


def qualities(header: str) -> dict[str, float]:
    """Return the quality of each value that an Accept or Accept-Encoding header names."""
    return {value: _quality(parameters) for value, parameters in map(_parameters, header.lower().split(","))}


def _liking(candidate: Format, ranges: list[_Range]) -> tuple[float, bool]:
    """Return the quality of the most specific entry that matches, and whether that is more than `*/*`."""
    media, versions = _MEDIA[candidate]
    found = [(0, 0.0)]
    for entry in ranges:
        if entry.media == media and entry.version in versions:
            found.append((3, entry.quality))
        elif entry.media == media and not entry.version:
            found.append((2, entry.quality))
        elif entry.media == f"{media.partition('/')[0]}/*":
            found.append((1, entry.quality))
        elif entry.media == "*/*":
            found.append((0, entry.quality))
    specificity, quality = max(found)
    return quality, specificity > 0


def _media_range(entry: str) -> _Range:
    """Take one entry of an Accept header apart."""
    media, parameters = _parameters(entry.lower())
    return _Range(media, parameters.get("version", ""), _quality(parameters))


def _parameters(entry: str) -> tuple[str, dict[str, str]]:
    """Split `value;name=value;…`; quotes around a parameter's value are dropped."""
    value, *rest = entry.split(";")
    pairs = (parameter.partition("=") for parameter in rest)
    return value.strip(), {name.strip(): text.strip().strip('"') for name, _, text in pairs}


def _quality(parameters: dict[str, str]) -> float:
    """Return q, 1 where it is left out; what is no number from 0 to 1 accepts nothing."""
    try:
        quality = float(parameters.get("q", "1"))
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
