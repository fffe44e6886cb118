"""Reading the fields of one row, and keeping account of what was odd in it."""

import json
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

import msgspec
import xxhash

from exporter.aliyun import values
from exporter.task import DIGEST_BYTES, DIGEST_GROUPS, UNREADABLE

NOTHING: Final = bytes(DIGEST_BYTES)
"""The digest of what is absent or empty."""

Object = Mapping[str, Any]

_EMPTY: Final[Object] = {}


class FieldReader:
    """Reads values out of one row's objects; what can't be read is noted, and None in its place.

    `field` is the name that answers for a value (one of `exporter.task.FIELDS`), `where` is its place in the row.
    """

    def __init__(self) -> None:
        self.errors: list[str] = []
        """The field of each value that can't be read."""
        self.unknown: list[str] = []
        """The field of each value outside its closed set."""
        self._hidden: dict[str, list[tuple[str, str, str]]] = {group: [] for group in DIGEST_GROUPS}

    def integer(self, parent: Object, key: str, field: str) -> int | None:
        """Read a whole number."""
        try:
            return values.integer(parent.get(key))
        except values.Unreadable:
            self.unreadable(field, parent[key])
            return None

    def decimal(self, parent: Object, key: str, field: str) -> float | None:
        """Read a decimal number."""
        try:
            return values.decimal(parent.get(key))
        except values.Unreadable:
            self.unreadable(field, parent[key])
            return None

    def text(self, parent: Object, key: str, field: str) -> str:
        """Read a free text; empty where there is none."""
        try:
            return values.text(parent.get(key))
        except values.Unreadable:
            self.unreadable(field, parent[key])
            return ""

    def hidden_text(self, parent: Object, key: str, field: str, *, group: str, where: str) -> bool:
        """Read a text of which only a digest is kept, and whether there is one."""
        value = parent.get(key)
        text = value if type(value) is str else self.text(parent, key, field)
        if text:
            self._hidden[group].append((where, key, text))
            return True
        return False

    def name(self, parent: Object, key: str, field: str, known: Mapping[str, str]) -> str | None:
        """Read one of a closed set of names, or what stands there instead."""
        value = parent.get(key)
        name, is_known = values.name(value, known)
        if not is_known:
            self.unknown.append(field)
            if name == UNREADABLE or (name and len(name) == values.MAX_NAME_CHARACTERS):
                self._hide_odd(field, value)
        return name

    def one_of(self, parent: Object, key: str, field: str, known: AbstractSet[int]) -> int | None:
        """Read one of a closed set of numbers, or what number stands there instead."""
        number = self.integer(parent, key, field)
        if number is not None and number not in known:
            self.unknown.append(field)
        return number

    def truth(self, parent: Object, key: str, field: str) -> bool | None:
        """Read a boolean."""
        value = parent.get(key)
        try:
            return values.truth(value)
        except values.Unreadable:
            self.unknown.append(field)
            self._hide_odd(field, value)
            return None

    def object(self, parent: Object, key: str, field: str, keys: AbstractSet[str], *, where: str = "") -> Object:
        """Read an object that is known to have `keys`; an empty one where there is none."""
        return self._object(parent.get(key), field, keys, where or field)

    def objects(self, parent: Object, key: str, field: str, keys: AbstractSet[str]) -> Iterator[tuple[str, Object]]:
        """Read a list of objects that are known to have `keys`, each with its place."""
        value = parent.get(key)
        if not isinstance(value, list):
            if not values.is_absent(value):
                self.unreadable(field, value)
            return
        for index, element in enumerate(value):
            if isinstance(element, dict):
                where = f"{field}.{index}"
                yield where, self._object(element, field, keys, where)
            else:
                self.unreadable(field, element)

    def unreadable(self, field: str, value: Any) -> None:
        """Note a value that says nothing that its field could mean."""
        self.errors.append(field)
        self._hide_odd(field, value)

    def digests(self) -> bytes:
        """Return the digests of all that is not kept: eight bytes for each of `DIGEST_GROUPS`."""
        return b"".join(_digest(self._hidden[group]) for group in DIGEST_GROUPS)

    def note_unknown_keys(self, content: Object, keys: AbstractSet[str], where: str) -> None:
        """Keep the digest of what stands under keys that are not known."""
        for key in content.keys() - keys:
            if not values.is_absent(content[key]):
                self._hide_odd(f"{where}.{key}", content[key])

    def _object(self, value: Any, field: str, keys: AbstractSet[str], where: str) -> Object:
        """Return `value` where it is an object."""
        if isinstance(value, dict):
            if not value.keys() <= keys:
                self.note_unknown_keys(value, keys, where)
            return value
        if not values.is_absent(value):
            self.unreadable(field, value)
        return _EMPTY

    def _hide_odd(self, where: str, value: Any) -> None:
        """Make a value that has no place of its own a part of the digest `other`."""
        self._hidden["other"].append((where, "", json.dumps(value, sort_keys=True)))


def _digest(hidden: list[tuple[str, str, str]]) -> bytes:
    """Digest places and texts in an encoding that no two sets of them share."""
    return xxhash.xxh3_64_digest(msgspec.json.encode(sorted(hidden))) if hidden else NOTHING
