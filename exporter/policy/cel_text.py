"""Values as CEL writes them, so that no value of a configuration can become anything but a value."""

import json
import re
from collections.abc import Iterable
from typing import Final

from exporter.policy.facts import fit_number, fit_text

_LOWERED: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def literal(value: str | float | bool) -> str:
    """Return a text, number or condition as a literal of its type."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(fit_number(value))
        case float():
            return repr(value)
        case _:
            return json.dumps(fit_text(value), ensure_ascii=False)


def list_of(values: Iterable[str | float | bool]) -> str:
    """Return a list of literals."""
    return f"[{', '.join(map(literal, values))}]"


def lower(text: str) -> str:
    """Return what CEL's `lowerAscii()` makes of a text."""
    return text.translate(_LOWERED)


def glob_pattern(globs: Iterable[str]) -> str:
    """Return a pattern for `matches()` that whole texts in lower case meet if they meet one of the globs.

    `*` is any number of characters, `?` is one, and everything else is itself.
    """
    wild = {"*": ".*", "?": "."}
    one_of = "|".join("".join(wild.get(char) or re.escape(char) for char in lower(fit_text(glob))) for glob in globs)
    return f"(?s)^(?:{one_of})$"
