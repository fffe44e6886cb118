"""JSON that the strict and fast decoder refuses though most of it can be read: broken Unicode, absurd numbers."""

import json
import re
from itertools import islice
from typing import Any, Final

MAX_LONE_SURROGATES: Final = 10_000  # of one text; beyond them the rest is left as it is, which no decoder takes

_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_LOWER_HALF: Final = re.compile(rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_MAX_INTEGER_CHARACTERS: Final = 20


def without_lone_surrogates(text: bytes) -> bytes:
    """Put the replacement character for escapes of half a character; all else keeps its bytes."""
    mended: bytearray | None = None
    pair_ends = 0
    for half in islice(_HALF.finditer(text), 2 * MAX_LONE_SURROGATES):
        start, end = half.span()
        if start < pair_ends or _is_escaped(text, start):
            continue
        if text[start + 3] in b"89abAB" and _LOWER_HALF.match(text, end):
            pair_ends = end + len(half[0])
            continue
        mended = bytearray(text) if mended is None else mended
        mended[start:end] = rb"\ufffd"
    return text if mended is None else bytes(mended)


def decode(text: bytes) -> Any:
    """Decode JSON with replacement characters for broken Unicode.

    Raises:
        ValueError: It is no JSON even so.
        RecursionError: It is nested too deeply.
    """
    return json.loads(_mended(text), parse_int=_integer)


def decode_members(text: bytes) -> tuple[tuple[str, Any], ...]:
    """Decode a JSON object into its members in order, also those whose names are equal; inner objects likewise.

    Numbers stay as they are spelled.

    Raises:
        ValueError: It is no JSON object.
        RecursionError: It is nested too deeply.
    """
    members = json.loads(_mended(text), parse_int=str, parse_float=str, object_pairs_hook=tuple)
    if not isinstance(members, tuple):
        raise ValueError("expected a JSON object")  # noqa: TRY004 - of its kind, as what is no JSON
    return members


def _mended(text: bytes) -> str:
    """Return text without broken Unicode."""
    return without_lone_surrogates(text).decode("utf-8", "replace")


def _is_escaped(text: bytes, place: int) -> bool:
    """Whether a backslash belongs to another one before it."""
    backslashes = 0
    while backslashes < place:
        before = text[max(0, place - backslashes - 4096) : place - backslashes]
        run = len(before) - len(before.rstrip(b"\\"))
        backslashes += run
        if run < len(before):
            break
    return backslashes % 2 == 1


def _integer(digits: str) -> int | str:
    """Leave a number that nobody means as text: Python refuses to convert thousands of digits."""
    return int(digits) if len(digits) <= _MAX_INTEGER_CHARACTERS else digits
