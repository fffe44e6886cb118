"""The types of single values in a configuration file: read from a `Text` as it is written, described, and shown again.

Every type says in words what is expected of it, for error messages, `docs/configuration.md` and the JSON Schema.
"""

import ipaddress
import itertools
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, Self, TypeVar
from urllib.parse import SplitResult, urlsplit, urlunsplit

import annotated_types as bounds
from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from exporter.core.secret import HIDDEN

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
DURATION_PATTERN: Final = "".join(f"(?:([0-9]{{1,{_LONGEST_DIGITS}}}){unit})?" for unit in _UNIT_MILLISECONDS)
"""A regular expression that matches every duration (but for the plain `0`), and the empty text."""
_DURATION_TEXT: Final = re.compile(DURATION_PATTERN)
_LONGEST_MILLISECONDS: Final = 100 * _UNIT_MILLISECONDS["y"]
_SHOWN_UNITS: Final = ("d", "h", "m", "s", "ms")


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as `1h30m`; raises ValueError beyond a hundred years."""
    if text == "0":
        return 0.0
    match = _DURATION_TEXT.fullmatch(text)
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


NONE: Final = "none"  # how a number that may be absent is written when it is absent

_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER: Final = re.compile(r"[-+]?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:[eE][-+]?[0-9]{1,3})?")
_HOST: Final = re.compile(r"(?=.{1,254}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_PROXY: Final = "http:// or https:// and a host, without path"
_YEARS: Final = range(1970, 9999)  # so that the day after a date is a date too


class Text(str):
    """A scalar of a file, as it is written there, with the environment expanded."""

    __slots__ = ("plain",)
    plain: bool  # whether it is written without quotes, or comes from the environment

    def __new__(cls, text: str, *, plain: bool = True) -> Self:
        """Keep how it is written."""
        self = super().__new__(cls, text)
        self.plain = plain
        return self


class Unfit(ValueError):  # noqa: N818 - reads as what it says of the value
    """A value that does not fit; `str()` says in words what is expected instead."""


class Expected(NamedTuple):
    """Says in words what a value must be; it goes on from the word `expected`."""

    words: str
    secretive: bool = False  # whether an error must not show the value


class Matches(NamedTuple):
    """A text that a regular expression describes, and what that is in words."""

    regex: str
    words: str

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.str_schema(pattern=self.regex)


class Choices(NamedTuple):
    """The known values, texts or whole numbers."""

    values: tuple[str | int, ...]
    closed: bool = True  # whether there are no others; else only the spelling of the known ones is corrected

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Offer the values; where others are possible, beside their form."""
        known: dict[str, Any] = {"enum": list(self.values)}
        return known if self.closed else {"anyOf": [known, handler(schema)]}

    def _read(self, value: Any) -> Any:
        if not self.closed:
            return {str(one).casefold(): one for one in self.values}.get(str(value).casefold(), value)
        by_text = {str(one): one for one in self.values}
        if str(value) not in by_text:
            raise ValueError
        return by_text[str(value)]


class DefaultNote(NamedTuple):
    """Says in words what the default is where it follows from another key."""

    words: str


def _read(kind: type[str], read: Callable[[Any], object]) -> BeforeValidator:
    """Return what reads texts of a kind, and leaves other values to pydantic."""
    return BeforeValidator(lambda value: read(value) if isinstance(value, kind) else value)


def _number(text: Text, pattern: re.Pattern[str]) -> str:
    if not text.plain or not pattern.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueError
    return str(text)


def _switch(text: Text, words: Mapping[str, bool]) -> bool:
    if not text.plain or text not in words:
        raise ValueError
    return words[text]


def _day(text: str) -> date:
    if not _DATE.fullmatch(text) or (day := date.fromisoformat(text)).year not in _YEARS:
        raise ValueError
    return day


def _moment(text: str) -> datetime:
    if not _TIMESTAMP.fullmatch(text) or (moment := datetime.fromisoformat(text.upper())).year not in _YEARS:
        raise ValueError
    return moment


def _parse_path(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    if not value or "\0" in value:
        raise ValueError
    return (info.context or {}).get("directory", Path()) / str(value)


def _split(text: str) -> SplitResult:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not _is_host(parts.hostname or "") or parts.port == 0:
        raise ValueError
    return parts


def _parse_endpoint(text: str) -> str:
    parts = _split(text)
    if "@" in parts.netloc or parts.path not in {"", "/"} or "?" in text or "#" in text:
        raise ValueError
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _is_host(text: str) -> bool:
    if ":" not in text:
        return _HOST.fullmatch(text) is not None
    try:
        return not ipaddress.IPv6Address(text).scope_id
    except ValueError:
        return False


def parse_proxy(text: str) -> str:
    """Return a proxy's address: scheme, perhaps user and password, and host. Raises Unfit if it is none."""
    socks = re.match(r"socks[45]?[ah]?(?=://)", text.lower())
    if socks:
        raise Unfit(f"http:// or https://: {socks[0]}:// is not supported")
    try:
        is_fit = _split(text).path in {"", "/"} and "?" not in text and "#" not in text
    except ValueError:
        is_fit = False
    if not is_fit:
        raise Unfit(_PROXY + ("; # / ? of a password as %23 %2F %3F" if "@" in text else ""))
    return text.removesuffix("/")


def _parse_url(text: str) -> str:
    _split(text)
    return text


def _parse_bounds(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(upper <= lower for lower, upper in itertools.pairwise(values)):
        raise ValueError
    return values


def _without_credentials(url: str | None) -> str | None:
    """Return a URL with its user, password, path and query hidden: each may be what gives access."""
    if url is None:
        return None
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    netloc = f"{HIDDEN}@{host}" if "@" in parts.netloc else host
    path = f"/{HIDDEN}" if parts.path.strip("/") else parts.path
    return urlunsplit((parts.scheme, netloc, path, HIDDEN if parts.query else "", ""))


_URL_SHOWN: Final = PlainSerializer(_without_credentials, when_used="json")
_ADDRESS: Final = WithJsonSchema({"type": "string", "pattern": "^https?://"})
_SWITCH: Final = {"true": True, "false": False}
_SWITCH_OF_YAML_1_1: Final = {
    spelling: meaning
    for words, meaning in ((("y", "yes", "on", "true"), True), (("n", "no", "off", "false"), False))
    for word in words
    for spelling in (word, word.capitalize(), word.upper())
}

Whole = Annotated[int, _read(Text, lambda text: _number(text, _INTEGER))]
Number = Annotated[float, _read(Text, lambda text: _number(text, _NUMBER))]
OrNone = _read(Text, lambda text: None if text.plain and text == NONE else text)  # marks a number that can be `none`
OrNoKeys = _read(Text, lambda text: {} if text.plain and text == NONE else text)  # marks a mapping that can be `none`
Switch = Annotated[bool, _read(Text, lambda text: _switch(text, _SWITCH))]
AnySwitch = Annotated[bool, _read(Text, lambda text: _switch(text, _SWITCH_OF_YAML_1_1))]
"""With all the words of YAML 1.1, as Go reads it."""
_AS_DURATION: Final = PlainSerializer(format_duration, when_used="json")
_DURATION_SCHEMA: Final = WithJsonSchema({"type": "string", "pattern": f"^(?:{DURATION_PATTERN})$", "minLength": 1})
DURATION_WORDS: Final = Expected("a duration such as 100ms, 30s, 5m or 1h30m")
Duration = Annotated[float, _read(str, parse_duration), _AS_DURATION, _DURATION_SCHEMA, DURATION_WORDS]  # in seconds
WholeDuration = Annotated[int, _read(str, parse_duration), _AS_DURATION, _DURATION_SCHEMA, DURATION_WORDS]
Day = Annotated[date, _read(str, _day), Expected("a date such as 2027-01-31, from 1970 to 9998")]
Moment = Annotated[datetime, _read(str, _moment), Expected("a time such as 2027-01-31T12:00:00Z, from 1970 to 9998")]
FileName = Annotated[Path, BeforeValidator(_parse_path), Expected("the name of a file")]
FilePattern = Annotated[str, Matches(r"^[^\u0000]+$", "the name of a file, or a pattern with * ? or **")]
Endpoint = Annotated[
    str,
    _ADDRESS,
    AfterValidator(_parse_endpoint),
    Expected("http:// or https:// and a host, without path, user and password", secretive=True),
]
Proxy = Annotated[str, _ADDRESS, AfterValidator(parse_proxy), _URL_SHOWN, Expected(_PROXY, secretive=True)]
Url = Annotated[
    str,
    _ADDRESS,
    AfterValidator(_parse_url),
    _URL_SHOWN,
    Expected("an address with http:// or https:// and a host", secretive=True),
]
Bounds = Annotated[
    tuple[Number, ...],
    bounds.MinLen(1),
    AfterValidator(_parse_bounds),
    Expected("a list of numbers, each greater than the one before"),
]
SkipEmpty = BeforeValidator(
    lambda table: (
        {name: value for name, value in table.items() if value is not None} if isinstance(table, dict) else table
    )
)  # lets a name without a value in a table count as left out
T = TypeVar("T")
Some = Annotated[tuple[T, ...], bounds.MinLen(1)]  # a list that is not empty
