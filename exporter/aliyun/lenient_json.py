"""JSON that the strict decoder refuses though most of it can be read: broken Unicode, absurd numbers, another shape."""

import json
import re
from collections.abc import Mapping
from functools import cache
from itertools import islice
from typing import Annotated, Any, Final, NamedTuple, TypeVar, get_args, get_origin

import msgspec

from exporter.aliyun.field_reader import FieldReader, is_absent
from exporter.aliyun.row_schema import Part, decoder_of
from exporter.core.task import FIELDS

MAX_HALVES: Final = 10_000  # of one text; beyond them the rest is left as it is, which no decoder takes

_HEX: Final = rb"[0-9a-fA-F]{2}"
_PAIR: Final = rb"\\u[dD][89abAB]" + _HEX + rb"\\u[dD][c-fC-F]" + _HEX
_HALF: Final = rb"\\u[dD][89a-fA-F]" + _HEX
_WHOLE_OR_HALF: Final = re.compile(rb"((?:\\[^u][^\\]*+)++|\\u(?![dD][89a-fA-F])|" + _PAIR + rb")|" + _HALF)
"""Escapes, of which halves of characters are in no group."""
_MAX_INTEGER_CHARACTERS: Final = 20
_ANYTHING: Final = decoder_of(object)

_Part = TypeVar("_Part", bound=Part)


def without_lone_surrogates(text: bytes) -> bytes:
    """Put the replacement character for escapes of half a character; all else keeps its bytes."""
    mended = bytearray(text)
    halves = (escape.span() for escape in _WHOLE_OR_HALF.finditer(text) if escape[1] is None)
    for start, end in islice(halves, MAX_HALVES):
        mended[start:end] = rb"\ufffd"
    return bytes(mended)


def decode(text: bytes) -> Any:
    """Decode JSON with replacement characters for broken Unicode; raises ValueError or RecursionError."""
    return json.loads(_mended(text), parse_int=_integer)


def decode_members(text: bytes) -> tuple[tuple[str, Any], ...]:
    """Decode a JSON object into pairs of name and value, numbers as they are spelled; raises as `decode` does."""
    members = json.loads(_mended(text), parse_int=str, parse_float=str, object_pairs_hook=tuple)
    if not isinstance(members, tuple):
        raise ValueError("expected a JSON object")  # noqa: TRY004 - of its kind, as what is no JSON
    return members


def _mended(text: bytes) -> str:
    return without_lone_surrogates(text).decode("utf-8", "replace")


def _integer(digits: str) -> int | str:
    """Leave an absurdly long number as text: Python refuses to convert thousands of digits."""
    return int(digits) if len(digits) <= _MAX_INTEGER_CHARACTERS else digits


def decode_or(text: bytes, otherwise: Any = None) -> Any:
    """Decode JSON whatever its shape, with replacement characters for broken Unicode; `otherwise` if it is none."""
    try:
        return _ANYTHING.decode(text)
    except (ValueError, RecursionError):
        try:
            return decode(text)
        except (ValueError, RecursionError):
            return otherwise


def mend(content: Mapping[str, Any], shape: type[_Part], reader: FieldReader, name: str = "", place: str = "") -> _Part:
    """Return an object in its documented shape, equal to what the decoder makes of one that has it.

    What strays from it is noted in `reader`, by the object's key `name` and its `place` in the row.
    """
    members = _members(shape)
    parts: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for key, value in content.items():
        member = members.get(key)
        if member is None:
            if not is_absent(value):
                unknown[key] = value
        elif member.part is None:
            parts[member.attribute] = value
        elif member.most and isinstance(value, list) and len(value) <= member.most:
            parts[member.attribute] = _mend_all(value, member.part, reader, key, f"{place}.{key}")
        elif not member.most and isinstance(value, dict):
            parts[member.attribute] = mend(value, member.part, reader, key, f"{place}.{key}")
        elif not is_absent(value):
            qualified = f"{name}.{key}"
            reader.unreadable(qualified if qualified in FIELDS else key, value)
    if unknown:
        reader.note_odd(place, unknown)
    return shape(**parts)


def _mend_all(content: list[Any], shape: type[_Part], reader: FieldReader, name: str, place: str) -> list[_Part]:
    mended = []
    for index, element in enumerate(content):
        if isinstance(element, dict):
            mended.append(mend(element, shape, reader, name, f"{place}.{index}"))
        else:
            reader.unreadable(name, element)
    return mended


class _Member(NamedTuple):
    attribute: str
    part: type[Part] | None  # the shape of the object, or of each object of the list; None: a leaf
    most: int  # elements of the list; 0: it is none


@cache
def _members(shape: type[Part]) -> Mapping[str, _Member]:
    return {field.encode_name: _member(field.name, field.type) for field in msgspec.structs.fields(shape)}


def _member(attribute: str, declared: Any) -> _Member:
    """Take a declared type apart: `Part | None`, a list of them with its length or None, or a leaf's."""
    inner = next(iter(get_args(declared)), None)
    if get_origin(inner) is Annotated:
        elements, bound = get_args(inner)
        return _Member(attribute, get_args(elements)[0], bound.max_length)
    return _Member(attribute, inner, most=0)
