"""What a mistyped name was probably meant to be."""

import difflib
from collections.abc import Iterable
from typing import Final

LONGEST_COMPARED: Final = 80


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return `, did you mean "…"?` with the nearest of the known names; empty where none is near."""
    near = difflib.get_close_matches(name[:LONGEST_COMPARED], tuple(known), n=1)
    return f', did you mean "{near[0]}"?' if near else ""
