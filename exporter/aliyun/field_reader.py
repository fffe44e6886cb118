"""Reading the fields of one row, and keeping account of what was odd in it."""

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, Literal

import msgspec
import xxhash

from exporter.aliyun import field_values as values
from exporter.core.task import DIGEST_BYTES, DIGEST_GROUPS, UNREADABLE

NOTHING: Final = bytes(DIGEST_BYTES)  # the digest of what is absent or empty
_HIDDEN_GROUPS: Final = DIGEST_GROUPS[:-1]
_ENCODER: Final = msgspec.msgpack.Encoder()


class FieldReader:
    """Reads the values of one row; what can't be read is noted, and None in its place.

    `field` is the name that answers for a value: one of `exporter.core.task.FIELDS`.
    """

    def __init__(self) -> None:
        self.errors: list[str] = []  # the field of each value that can't be read
        self.unknown: list[str] = []  # the field of each value outside its closed set
        self.odd: list[tuple[str, str]] = []  # place and JSON of each value that has no place of its own
        self._hidden: dict[str, list[tuple[str, object]]] = {}

    def integer(self, value: Any, field: str) -> int | None:
        """Read a whole number."""
        try:
            return values.integer(value)
        except values.Unreadable:
            self.unreadable(field, value)
            return None

    def amount(self, value: Any, field: str) -> int | None:
        """Read a whole number of something; below 0 it can't be meant."""
        number = self.integer(value, field)
        if number is not None and number < 0:
            self.unreadable(field, value)
            return None
        return number

    def decimal(self, value: Any, field: str) -> float | None:
        """Read a decimal number."""
        try:
            return values.decimal(value)
        except values.Unreadable:
            self.unreadable(field, value)
            return None

    def text(self, value: Any, field: str) -> str:
        """Read a free text; empty where there is none."""
        if type(value) is str:
            return value
        try:
            return values.text(value)
        except values.Unreadable:
            self.unreadable(field, value)
            return ""

    def name(self, value: Any, field: str, known: Mapping[str, str]) -> str | None:
        """Read one of a closed set of names, or what is there instead."""
        if type(value) is str and value in known:
            return known[value]
        name, is_known = values.name(value, known)
        if not is_known:
            self.unknown.append(field)
            if name == UNREADABLE or (name and len(name) == values.MAX_NAME_CHARACTERS):
                self.note_odd(field, value)
        return name

    def one_of(self, value: Any, field: str, known: AbstractSet[int]) -> int | None:
        """Read one of a closed set of numbers, or what number is there instead."""
        number = self.integer(value, field)
        if number is not None and number not in known:
            self.unknown.append(field)
        return number

    def truth(self, value: Any, field: str) -> bool | None:
        """Read a boolean."""
        try:
            return values.truth(value)
        except values.Unreadable:
            self.unknown.append(field)
            self.note_odd(field, value)
            return None

    def hide(self, group: str, value: Any, field: str) -> Literal[True] | None:
        """Read a text of which only a digest is kept.

        Args:
            group: Which digest, one of `exporter.core.task.DIGEST_GROUPS`.
            value: What is there.
            field: The name that answers for it.

        Returns:
            True in place of the text; None where there is none.
        """
        text = value if type(value) is str else self.text(value, field)
        if text:
            self.note_hidden(group, field, text)
            return True
        return None

    def note_hidden(self, group: str, field: str, content: object) -> None:
        """Make a text, or several, a part of a digest."""
        if group in self._hidden:
            self._hidden[group].append((field, content))
        else:
            self._hidden[group] = [(field, content)]

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
    """Digest texts in an encoding that no two lists of them share."""
    return xxhash.xxh3_64_digest(_ENCODER.encode(hidden))
