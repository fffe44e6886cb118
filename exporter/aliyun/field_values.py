"""Single values of a row, whatever JSON type they come as.

Leaves are documented as strings; numbers, null, the empty string and absence are read as well. A value of another
shape is `Unreadable`, which its field answers for, never the row.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from exporter.core.task import UNREADABLE

MAX_NUMBER: Final = 2**53  # beyond it a number is taken for damage: JSON's own numbers are exact up to here

MAX_NAME_CHARACTERS: Final = 64
REMEMBERED_NUMBERS: Final = 4096

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,16}(?:\.0{1,16})?")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]{1,16}(?:\.[0-9]{0,32})?|\.[0-9]{1,32})")


class Unreadable(Exception):  # noqa: N818 - it is a value's property, not a mistake of ours
    """A value that is there and says nothing that its field could mean."""


def is_absent(value: Any) -> bool:
    """Whether a value is one of the ways to say nothing: null, or an empty string, list or object."""
    return value is None or (not value and isinstance(value, str | list | dict))


def integer(value: Any) -> int | None:
    """Read a whole number: `"30"`, `"30.0"`, 30 or 30.0; None where it is absent.

    Raises:
        Unreadable: It is something else, a boolean among others, or beyond `MAX_NUMBER`.
    """
    if type(value) is str:
        return _spelled_integer(value)
    number = _number(value)
    if number is not None and number != int(number):
        raise Unreadable
    return None if number is None else int(number)


def decimal(value: Any) -> float | None:
    """Read a decimal number; None where it is absent.

    Raises:
        Unreadable: It is something else, or beyond `MAX_NUMBER`.
    """
    if type(value) is str:
        return _spelled_decimal(value)
    number = _number(value)
    return None if number is None else _positive_zero(number)


def text(value: Any) -> str:
    """Read a free text as it is; empty where it is absent; raises Unreadable if it is neither text nor number."""
    if isinstance(value, str):
        return value
    if is_absent(value):
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _plain(value)
    raise Unreadable


def name(value: Any, known: Mapping[str, str]) -> tuple[str | None, bool]:
    """Read one of a closed set of names.

    Args:
        value: What is there.
        known: The canonical name for each known spelling in lower case.

    Returns:
        The canonical name, or what stood there, cut to `MAX_NAME_CHARACTERS`; None where it is absent. And
        whether it is in the set or absent.
    """
    if type(value) is str and value in known:
        return known[value], True
    try:
        spelled = text(value).strip()
    except Unreadable:
        return UNREADABLE, False
    if not spelled:
        return None, True
    canonical = known.get(spelled.casefold())
    if canonical is None:
        return spelled[:MAX_NAME_CHARACTERS], False
    return canonical, True


def truth(value: Any) -> bool | None:
    """Read a boolean, also one that is spelled out; None where it is absent.

    Raises:
        Unreadable: It is neither true nor false.
    """
    if isinstance(value, bool):
        return value
    if is_absent(value):
        return None
    if isinstance(value, str) and (spelled := value.strip().casefold()) in {"true", "false"}:
        return spelled == "true"
    raise Unreadable


# A fleet repeats few numbers many times: remembered, a number costs a twentieth of its parsing.
@lru_cache(maxsize=REMEMBERED_NUMBERS)
def _spelled_integer(spelled: str) -> int | None:
    """Read a whole number from text."""
    stripped = spelled.strip()
    if not stripped:
        return None
    if not _INTEGER.fullmatch(stripped):
        raise Unreadable
    number = int(stripped.partition(".")[0])
    if abs(number) > MAX_NUMBER:
        raise Unreadable
    return number


@lru_cache(maxsize=REMEMBERED_NUMBERS)
def _spelled_decimal(spelled: str) -> float | None:
    """Read a decimal number from text."""
    stripped = spelled.strip()
    if not stripped:
        return None
    if not _DECIMAL.fullmatch(stripped) or abs(float(stripped)) > MAX_NUMBER:
        raise Unreadable
    return _positive_zero(float(stripped))


def _number(value: Any) -> int | float | None:
    """Read a JSON number within bounds."""
    if is_absent(value):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_NUMBER:
        raise Unreadable
    return value


def _positive_zero(number: float) -> float:
    """Give equal numbers one form: -0.0 equals 0.0."""
    return float(number) + 0.0


def _plain(number: float) -> str:
    """Write a JSON number the one way that all its spellings share."""
    return str(int(number)) if isinstance(number, int) or number.is_integer() else repr(number)
