"""Which format and which encoding a scrape is answered with, by what its headers accept."""

from enum import Enum
from typing import Final


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


_MEDIA: Final = {
    Format.OPENMETRICS: ("application/openmetrics-text", {"1.0.0"}),
    Format.OPENMETRICS_0_0_1: ("application/openmetrics-text", {"0.0.1"}),
    # The text format 1.0.0 is 0.0.4 with more characters allowed in names, none of which are used here.
    Format.TEXT: ("text/plain", {"0.0.4", "1.0.0"}),
}


def negotiate(accept: str | None) -> Format:
    """Return the format that an Accept header likes best.

    Between equals, OpenMetrics is preferred if it is named, and text where `*/*` stands for both. Text also
    is the answer where none of the formats is accepted, since a scrape is never refused.
    """
    entries = [_parameters(entry) for entry in (accept or "").lower().split(",") if entry.strip()]
    likings = {candidate: _liking(candidate, entries) for candidate in Format}
    quality, is_named = best = max(likings.values())
    liked = [candidate for candidate in Format if likings[candidate] == best]
    return Format.TEXT if quality <= 0 or (not is_named and Format.TEXT in liked) else liked[0]


def wants_gzip(accept_encoding: str | None) -> bool:
    """Whether an Accept-Encoding header likes gzip at least as much as no encoding."""
    wanted = qualities(accept_encoding or "")
    gzip = wanted.get("gzip", wanted.get("x-gzip", wanted.get("*", 0.0)))
    return gzip > 0 and gzip >= wanted.get("identity", 0.0)


def qualities(header: str) -> dict[str, float]:
    """Return the quality of each value that an Accept or Accept-Encoding header names."""
    return {value: _quality(parameters) for value, parameters in map(_parameters, header.lower().split(","))}


def _liking(candidate: Format, entries: list[tuple[str, dict[str, str]]]) -> tuple[float, bool]:
    """Return the quality of the most specific entry that matches, and whether that is more than `*/*`."""
    media, versions = _MEDIA[candidate]
    specificity = {"*/*": 0, f"{media.partition('/')[0]}/*": 1, media: 2}
    found = [(0, 0.0)]
    for value, parameters in entries:
        version = parameters.get("version", "")
        if value != media or not version or version in versions:
            exact = 1 if value == media and version else 0
            found.append((specificity.get(value, -1) + exact, _quality(parameters)))
    most_specific, quality = max(found)
    return quality, most_specific > 0


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
