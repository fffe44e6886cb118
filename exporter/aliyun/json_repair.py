"""JSON that strays from the documented shape, put into it; what has no place there is noted, never dropped unseen."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar, get_args, get_origin

import msgspec

from exporter.aliyun import lenient_json
from exporter.aliyun.field_reader import FieldReader
from exporter.aliyun.field_values import is_absent
from exporter.aliyun.row_schema import Part
from exporter.core.task import FIELDS

MAX_ELEMENTS: Final = 1000  # no documented list has as many

_Part = TypeVar("_Part", bound=Part)


def decode(text: bytes, otherwise: Any = None) -> Any:
    """Decode JSON whatever its shape, with replacement characters for broken Unicode; `otherwise` if it is none."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        try:
            return lenient_json.decode(text)
        except (ValueError, RecursionError):
            return otherwise


def mend(content: Mapping[str, Any], shape: type[_Part], reader: FieldReader, name: str = "", place: str = "") -> _Part:
    """Put an object into its documented shape.

    Args:
        content: The object.
        shape: What it should be.
        reader: Where unknown keys, and lists and objects that are none, are noted.
        name: The object's own key.
        place: Where it is in the row.

    Returns:
        What of the object is documented: equal to what the decoder makes of an object that has the shape.
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
        elif member.is_list and isinstance(value, list):
            parts[member.attribute] = _mend_all(value, member.part, reader, key, f"{place}.{key}")
        elif not member.is_list and isinstance(value, dict):
            parts[member.attribute] = mend(value, member.part, reader, key, f"{place}.{key}")
        elif not is_absent(value):
            qualified = f"{name}.{key}"
            reader.unreadable(qualified if qualified in FIELDS else key, value)
    if unknown:
        reader.note_odd(place, unknown)
    return shape(**parts)


def _mend_all(content: list[Any], shape: type[_Part], reader: FieldReader, name: str, place: str) -> list[_Part]:
    """Put each element of a list into its documented shape; those that are no objects are noted and left out.

    A list that is absurdly long is noted as a whole.
    """
    if len(content) > MAX_ELEMENTS:
        reader.unreadable(name, content)
        return []
    mended = []
    for index, element in enumerate(content):
        if isinstance(element, dict):
            mended.append(mend(element, shape, reader, name, f"{place}.{index}"))
        else:
            reader.unreadable(name, element)
    return mended


class _Member(NamedTuple):
    """What may be under a key."""

    attribute: str
    part: type[Part] | None  # the shape of the object, or of each object of the list; None: a leaf
    is_list: bool


@cache
def _members(shape: type[Part]) -> Mapping[str, _Member]:
    """Return what may be under each key of an object, as its type says."""
    return {field.encode_name: _member(field.name, field.type) for field in msgspec.structs.fields(shape)}


def _member(attribute: str, declared: Any) -> _Member:
    """Take a declared type apart: `Part | None`, `list[Part] | None`, or a leaf's."""
    inner = next(iter(get_args(declared)), None)
    if get_origin(inner) is list:
        return _Member(attribute, get_args(inner)[0], is_list=True)
    return _Member(attribute, inner, is_list=False)
