"""From the text of one value to what it means; every refusal says what is expected instead."""

import difflib
import ipaddress
import math
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Final
from urllib.parse import SplitResult, urlsplit

from exporter.config.durations import format_duration, parse_duration
from exporter.config.shapes import Kind, Shape

NONE: Final = "none"
"""How a number that may be absent is written when it is."""

_LONGEST_COMPARED: Final = 80
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER: Final = re.compile(r"[-+]?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:[eE][-+]?[0-9]{1,3})?")
_HOST: Final = re.compile(r"(?=.{1,254}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_YEARS: Final = range(1970, 9999)
"""So that what is reckoned from a date, such as the day after, is one too."""
_NEAR: Final = 0.7
"""How alike a value and the one that it may have been meant to be are: more than `difflib` asks by itself."""
_SWITCH: Final = {"true": True, "false": False}
_SWITCH_OF_YAML_1_1: Final = {
    spelling: meaning
    for words, meaning in ((("y", "yes", "on", "true"), True), (("n", "no", "off", "false"), False))
    for word in words
    for spelling in (word, word.capitalize(), word.upper())
}
_EXPECTED: Final[dict[Kind, str]] = {
    "mapping": "a mapping (key: value)",
    "tagged": "a mapping (key: value)",
    "table": "a mapping (name: value)",
    "list": "a list",
    "bounds": "a list of numbers, each greater than the one before",
    "switch": "true or false",
    "date": "a date such as 2027-01-31, from 1970 to 9998",
    "timestamp": "a time such as 2027-01-31T12:00:00Z, from 1970 to 9998",
    "path": "the name of a file",
    "secret": "a text",
    "endpoint": "http:// or https:// and a host, without path, user and password",
    "proxy": "http:// or https:// and a host, without path",
    "url": "an address with http:// or https:// and a host",
}


class Unfit(ValueError):  # noqa: N818 - reads as what it says of the value
    """A value that does not fit; `str()` says what was expected, never what was there."""


def parse_text(text: str, shape: Shape) -> str:
    """Return a text that fits the shape's lengths and pattern.

    Raises:
        Unfit: It does not.
    """
    too_long = shape.longest is not None and len(text) > shape.longest
    if len(text) < shape.shortest or too_long or (shape.pattern and not re.fullmatch(shape.pattern, text)):
        raise Unfit(describe(shape))
    return text


def parse_choice(text: str, shape: Shape) -> str | int:
    """Return the value of a closed set that a text means.

    Raises:
        Unfit: It means none; names the nearest, if it is a text.
    """
    known = {str(choice): choice for choice in shape.choices}
    if text in known:
        return known[text]
    folded = {name.casefold(): name for name in known}
    if shape.open:
        return known.get(folded.get(text.casefold(), "")) or parse_text(text, shape)
    near = difflib.get_close_matches(text.casefold()[:_LONGEST_COMPARED], folded, n=1, cutoff=_NEAR)
    raise Unfit(folded[near[0]] if near and not shape.whole else describe(shape))


def parse_number(text: str, shape: Shape) -> float | None:
    """Return a number within the shape's bounds; None for `none` where the shape allows it.

    Raises:
        Unfit: It is no decimal number, or out of bounds.
    """
    if shape.nullable and text == NONE:
        return None
    if not (_INTEGER if shape.whole else _NUMBER).fullmatch(text):
        raise Unfit(describe(shape))
    return _within(int(text) if shape.whole else float(text), shape)


def parse_switch(text: str, shape: Shape) -> bool:
    """Return what `true` or `false` means, or where the shape allows it another of the words of YAML 1.1.

    Raises:
        Unfit: It is none of them.
    """
    known = _SWITCH_OF_YAML_1_1 if shape.open else _SWITCH
    if text not in known:
        raise Unfit(describe(shape))
    return known[text]


def parse_duration_within(text: str, shape: Shape) -> float:
    """Return the seconds of a duration within the shape's bounds.

    Raises:
        Unfit: It is no duration, out of bounds, or has a fraction where whole seconds are due.
    """
    try:
        seconds = parse_duration(text)
    except ValueError:
        raise Unfit(describe(shape)) from None
    if not shape.whole:
        return _within(seconds, shape)
    if not seconds.is_integer():
        raise Unfit(describe(shape))
    return _within(int(seconds), shape)


def parse_date(text: str, shape: Shape) -> date:
    """Return a day of the calendar.

    Raises:
        Unfit: There is no such day.
    """
    try:
        day = date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None or day.year not in _YEARS:
        raise Unfit(describe(shape))
    return day


def parse_timestamp(text: str, shape: Shape) -> datetime:
    """Return a moment, written as RFC 3339 has it.

    Raises:
        Unfit: It is none.
    """
    try:
        moment = datetime.fromisoformat(text.upper()) if _TIMESTAMP.fullmatch(text) else None
    except ValueError:
        moment = None
    if moment is None or moment.year not in _YEARS:
        raise Unfit(describe(shape))
    return moment


def parse_endpoint(text: str, shape: Shape) -> str:
    """Return scheme and host of an address that has nothing else, in lower case, without a slash at its end.

    Raises:
        Unfit: It is none.
    """
    parts = _split(text, shape)
    if "@" in parts.netloc or parts.path not in {"", "/"} or "?" in text or "#" in text:
        raise Unfit(describe(shape))
    return f"{parts.scheme}://{parts.netloc.lower()}"


def parse_proxy(text: str, shape: Shape) -> str:
    """Return a proxy's address: scheme, perhaps user and password, and host.

    Raises:
        Unfit: It is none.
    """
    socks = re.match(r"socks[45]?[ah]?(?=://)", text.lower())
    if socks:
        raise Unfit(f"http:// or https://: {socks[0]}:// is not supported")
    try:
        parts = _split(text, shape)
    except Unfit:
        parts = None
    if parts is None or parts.path not in {"", "/"} or "?" in text or "#" in text:
        raise Unfit(describe(shape) + ("; # / ? of a password as %23 %2F %3F" if "@" in text else ""))
    return text.removesuffix("/")


def parse_url(text: str, shape: Shape) -> str:
    """Return an http or https URL as it is.

    Raises:
        Unfit: It is none.
    """
    _split(text, shape)
    return text


def describe(shape: Shape) -> str:
    """Return what a value of this shape has to be, in words that go on from `expected`."""
    match shape.kind:
        case "text":
            return shape.expected or (f"at most {shape.longest} characters" if shape.longest else "a text")
        case "choice":
            return shape.expected or one_of([str(choice) for choice in shape.choices])
        case "number":
            word = "a whole number" if shape.whole else "a number"
            return word + describe_bounds(shape, _number) + (", or none" if shape.nullable else "")
        case "duration":
            return "a duration such as 100ms, 30s, 5m or 1h30m" + describe_bounds(shape, format_duration)
        case kind:
            return _EXPECTED[kind]


def describe_bounds(shape: Shape, show: Callable[[float], str]) -> str:
    """Return between what a number has to be, with a comma before it; empty where it is free."""
    parts = []
    if shape.greater_than is not None:
        parts.append(f"more than {show(shape.greater_than)}")
    if shape.least is not None:
        parts.append(f"at least {show(shape.least)}")
    if shape.most is not None:
        parts.append(f"at most {show(shape.most)}")
    return ", " + " and ".join(parts) if parts else ""


def one_of(names: Sequence[str]) -> str:
    """Join names as alternatives."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _number(value: float) -> str:
    """Show a bound."""
    return str(int(value)) if float(value).is_integer() else str(value)


def _within(value: float, shape: Shape) -> float:
    """Return the value if it is finite and within the shape's bounds."""
    low = shape.least is not None and value < shape.least
    not_above = shape.greater_than is not None and value <= shape.greater_than
    high = shape.most is not None and value > shape.most
    if not math.isfinite(value) or low or not_above or high:
        raise Unfit(describe(shape))
    return value


def _split(text: str, shape: Shape) -> SplitResult:
    """Return the parts of an http or https URL with a host."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise Unfit(describe(shape))
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise Unfit(describe(shape)) from None
    if parts.scheme not in {"http", "https"} or not _is_host(parts.hostname or "") or port == 0:
        raise Unfit(describe(shape))
    return parts


def _is_host(text: str) -> bool:
    """Whether a text is a name that DNS can have, or an address."""
    if ":" not in text:
        return _HOST.fullmatch(text) is not None
    try:
        return not ipaddress.IPv6Address(text).scope_id
    except ValueError:
        return False
