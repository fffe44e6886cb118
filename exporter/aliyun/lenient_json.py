"""JSON that the strict and fast decoder refuses though most of it can be read: broken Unicode, absurd numbers."""

import json
import re
from typing import Any, Final

_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_MAX_INTEGER_CHARACTERS: Final = 20


def without_lone_surrogates(text: bytes) -> bytes:
    """Put the replacement character for escapes of half a character; all else keeps its bytes."""
    return _ESCAPE.sub(lambda escape: rb"\ufffd" if escape["lone"] else escape[0], text)


def decode(text: bytes) -> Any:
    """Decode JSON with replacement characters for broken Unicode.

    Raises:
        ValueError: It is no JSON even so.
        RecursionError: It is nested too deeply.
    """
    mended = without_lone_surrogates(text).decode("utf-8", "replace")
    return json.loads(mended, parse_int=_integer)


def _integer(digits: str) -> int | str:
    """Leave a number that nobody means as text: Python refuses to convert thousands of digits."""
    return int(digits) if len(digits) <= _MAX_INTEGER_CHARACTERS else digits
