"""The parameters of a URL: each known, given once, and what it has to be; pages that are followed by a cursor."""

import json
import math
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from exporter.web.api.parameters import DEFAULT_LIMIT, MAX_LIMIT, Parameter

_UNIX_SECONDS: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_RFC_3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_WHOLE: Final = re.compile(r"[0-9]{1,15}")
_BASE64: Final = re.compile(r"[A-Za-z0-9_-]+")


class BadQueryError(ValueError):
    """A query that can't be answered; `str()` says which parameter, and what was expected."""


def given_once(parameters: Iterable[tuple[str, str]], known: Sequence[Parameter]) -> dict[str, str]:
    """Return the parameters by name.

    Raises:
        BadQueryError: One is unknown, given twice or empty.
    """
    names = [parameter.name for parameter in known]
    given: dict[str, str] = {}
    for name, value in parameters:
        if name not in names:
            raise BadQueryError(f"unknown parameter {name!r}, expected {_one_of(names)}")
        if name in given:
            raise BadQueryError(f"{name} is given twice, expected once")
        if not value:
            raise BadQueryError(f"{name} is empty, expected a value")
        given[name] = value
    return given


def read_moment(given: Mapping[str, str], name: str) -> float:
    """Return a point in time as seconds since 1970; without the parameter, the beginning of all time.

    Raises:
        BadQueryError: It is none.
    """
    text = given.get(name)
    if text is None:
        return -math.inf
    if _UNIX_SECONDS.fullmatch(text):
        return float(text)
    try:
        if _RFC_3339.fullmatch(text.upper()):
            return datetime.fromisoformat(text.upper()).timestamp()
    except ValueError:
        pass  # Such as the 30th of February: as wrong as any other text.
    raise BadQueryError(f"{name} is {text!r}, expected seconds since 1970 or a time such as 2027-01-15T08:00:00Z")


def read_limit(given: Mapping[str, str]) -> int:
    """Return how many items a page has at most.

    Raises:
        BadQueryError: `limit` is no number, or out of bounds.
    """
    text = given.get("limit")
    if text is None:
        return DEFAULT_LIMIT
    if not _WHOLE.fullmatch(text) or not 1 <= int(text) <= MAX_LIMIT:
        raise BadQueryError(f"limit is {text!r}, expected a whole number from 1 to {MAX_LIMIT}")
    return int(text)


def read_choice(given: Mapping[str, str], name: str, choices: Iterable[str]) -> str | None:
    """Return one of the choices; None without the parameter.

    Raises:
        BadQueryError: It is none of them.
    """
    text = given.get(name)
    if text is not None and text not in (known := tuple(choices)):
        raise BadQueryError(f"{name} is {text!r}, expected one of {', '.join(known)}")
    return text


def cursor_after(*names: str) -> str:
    """Return a cursor, fit for URLs, that names the last item of a page."""
    return urlsafe_b64encode(json.dumps(names).encode()).decode().rstrip("=")


def read_cursor(given: Mapping[str, str], names: int) -> tuple[str, ...] | None:
    """Return the names that `cursor_after` was given; None without a cursor.

    Args:
        given: The parameters.
        names: How many a cursor of this list holds.

    Raises:
        BadQueryError: It is no cursor of this list.
    """
    text = given.get("cursor")
    if text is None:
        return None
    found = _decoded(text) if _BASE64.fullmatch(text) else None
    if isinstance(found, list) and len(found) == names and all(isinstance(name, str) for name in found):
        return tuple(found)
    raise BadQueryError(f"cursor is {text!r}, expected the next_cursor of an answer")


def _one_of(names: Sequence[str]) -> str:
    return f"one of {', '.join(names)}" if names else "none"


def _decoded(text: str) -> object:
    """Return what stands in a cursor; None where it is damaged."""
    try:
        return json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError):
        return None
