"""Reads the fields of one row, and keeps account of what was odd in it.

Leaves are documented as strings; numbers, null, the empty string and absence are read as well.
"""

import json
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any, Final, Literal, TypeVar

import msgspec
import xxhash

from exporter.core.task import DIGEST_BYTES, DIGEST_GROUPS, UNREADABLE

NOTHING: Final = bytes(DIGEST_BYTES)  # the digest of what is absent or empty
_HIDDEN_GROUPS: Final = DIGEST_GROUPS[:-1]
_ENCODER: Final = msgspec.msgpack.Encoder()

_Read = TypeVar("_Read")


class FieldReader:
    """Reads the values of one row; what can't be read is None, and noted under `field`, one of `core.task.FIELDS`."""

    __slots__ = ("_hidden", "errors", "odd", "unknown")

    def __init__(self) -> None:
        self.errors: list[str] = []  # the field of each value that can't be read
        self.unknown: list[str] = []  # the field of each value outside its closed set
        self.odd: list[tuple[str, str]] = []  # place and JSON of each value that has no place of its own
        self._hidden: dict[str, list[tuple[str, object]]] = {}

    def integer(self, value: Any, field: str) -> int | None:
        """Read a whole number."""
        return self._readable(read_integer, value, field, None)

    def amount(self, value: Any, field: str) -> int | None:
        """Read a whole number of something; below 0 it can't be meant."""
        number = self.integer(value, field)
        if number is not None and number < 0:
            self.unreadable(field, value)
            return None
        return number

    def decimal(self, value: Any, field: str) -> float | None:
        """Read a decimal number."""
        return self._readable(read_decimal, value, field, None)

    def text(self, value: Any, field: str) -> str:
        """Read a free text; empty where there is none."""
        return value if type(value) is str else self._readable(read_text, value, field, "")

    def name(self, value: Any, field: str, known: Mapping[str, str]) -> str | None:
        """Read one of a closed set, whose spellings `known` has in lower case; another name is cut and noted."""
        if type(value) is str and value in known:
            return known[value]
        try:
            spelled = read_text(value).strip()
        except Unreadable:
            name = UNREADABLE
        else:
            canonical = known.get(spelled.casefold()) if spelled else None
            if canonical is not None or not spelled:
                return canonical
            name = spelled[:MAX_NAME_CHARACTERS]
        self.unknown.append(field)
        if name == UNREADABLE or len(name) == MAX_NAME_CHARACTERS:
            self.note_odd(field, value)
        return name

    def one_of(self, value: Any, field: str, known: AbstractSet[int]) -> int | None:
        """Read one of a closed set of numbers, or what number is there instead."""
        number = self.integer(value, field)
        if number is not None and number not in known:
            self.unknown.append(field)
        return number

    def truth(self, value: Any, field: str) -> bool | None:
        """Read a boolean, also one that is spelled out."""
        if isinstance(value, bool):
            return value
        if value is None or value == "":
            return None
        if isinstance(value, str) and (spelled := value.strip().casefold()) in {"true", "false"}:
            return spelled == "true"
        self.unknown.append(field)
        self.note_odd(field, value)
        return None

    def hide(self, group: str, value: Any, field: str) -> Literal[True] | None:
        """Read a text of which only a digest in one of `DIGEST_GROUPS` is kept; return True, None without one."""
        text = value if type(value) is str else self.text(value, field)
        if text:
            self.note_hidden(group, field, text)
            return True
        return None

    def note_hidden(self, group: str, field: str, content: object) -> None:
        """Make a text, or several, a part of a digest."""
        self._hidden.setdefault(group, []).append((field, content))

    def _readable(self, read: Callable[[Any], _Read], value: Any, field: str, otherwise: _Read) -> _Read:
        try:
            return read(value)
        except Unreadable:
            self.unreadable(field, value)
            return otherwise

    def unreadable(self, field: str, value: Any) -> None:
        """Note a value that says nothing that its field could mean."""
        self.errors.append(field)
        self.note_odd(field, value)

    def note_odd(self, where: str, value: Any) -> None:
        """Make a value that has no place of its own a part of the digest `other`."""
        self.odd.append((where, _spelled(value)))

    def digests(self) -> bytes:
        """Return the digests of all that is not kept: eight bytes for each of `DIGEST_GROUPS` but `push_keys`."""
        if self.odd:
            self._hidden["other"] = [*sorted(self.odd)]
        hidden = self._hidden
        return b"".join([_digest(hidden[group]) if group in hidden else NOTHING for group in _HIDDEN_GROUPS])


def _spelled(value: Any) -> str:
    """Return JSON that equal values share, whatever can be decoded."""
    try:
        return msgspec.json.encode(value, order="sorted").decode()
    except (ValueError, OverflowError, RecursionError):
        pass
    try:
        return json.dumps(value, sort_keys=True)
    except RecursionError:  # at the very edge of the depth that can be decoded
        return ""


def _digest(hidden: list[tuple[str, object]]) -> bytes:
    return xxhash.xxh3_64_digest(_ENCODER.encode(hidden))


MAX_NUMBER: Final = 2**53  # beyond it a number is taken for damage: JSON's own numbers are exact up to here

MAX_NAME_CHARACTERS: Final = 64
REMEMBERED_NUMBERS: Final = 4096

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,16}(?:\.0{1,16})?")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]{1,16}(?:\.[0-9]{0,32})?|\.[0-9]{1,32})")


class Unreadable(Exception):  # noqa: N818 - it is a value's property, not a mistake of ours
    """A value that is there and says nothing that its field could mean."""


def is_absent(value: Any) -> bool:
    """Whether an object or a list says nothing: null, or an empty string, list or object; a leaf is never a list."""
    return value is None or (not value and isinstance(value, str | list | dict))


def read_integer(value: Any) -> int | None:
    """Read a whole number: `"30"`, `"30.0"`, 30 or 30.0; None if absent. Raises Unreadable otherwise."""
    if type(value) is str:
        return _spelled_integer(value)
    number = _number(value)
    if number is not None and number != int(number):
        raise Unreadable
    return None if number is None else int(number)


def read_decimal(value: Any) -> float | None:
    """Read a decimal number; None where it is absent. Raises as `read_integer` does."""
    if type(value) is str:
        return _spelled_decimal(value)
    number = _number(value)
    return None if number is None else _positive_zero(number)


def read_text(value: Any) -> str:
    """Read a free text as it is; empty where it is absent; raises Unreadable if it is neither text nor number."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _plain(value)
    raise Unreadable


# A fleet repeats few numbers many times: remembered, a number costs a twentieth of its parsing.
@lru_cache(maxsize=REMEMBERED_NUMBERS)
def _spelled_integer(spelled: str) -> int | None:
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
    stripped = spelled.strip()
    if not stripped:
        return None
    if not _DECIMAL.fullmatch(stripped) or abs(float(stripped)) > MAX_NUMBER:
        raise Unreadable
    return _positive_zero(float(stripped))


def _number(value: Any) -> int | float | None:
    if value is None:
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
