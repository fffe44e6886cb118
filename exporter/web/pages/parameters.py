"""What the forms of pages send. An empty field means that nothing is asked for."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from exporter.web.api.query import BadQueryError

LONGEST_TEXT: Final = 300

_PAGE: Final = re.compile(r"[1-9][0-9]{0,8}")


def read_text(query: Mapping[str, str], name: str) -> str:
    """Return a text without space around it; empty where nothing is asked for.

    Raises:
        BadQueryError: It is very long.
    """
    text = query.get(name, "").strip()
    if len(text) > LONGEST_TEXT:
        raise BadQueryError(f"{name} has {len(text)} characters, expected at most {LONGEST_TEXT}")
    return text


def read_choice(query: Mapping[str, str], name: str, choices: Iterable[str]) -> str:
    """Return one of the choices; empty where nothing is asked for.

    Raises:
        BadQueryError: It is none of them.
    """
    text = read_text(query, name)
    if text and text not in (known := tuple(choices)):
        raise BadQueryError(f"{name} is {text!r}, expected one of {', '.join(known)}")
    return text


def read_page(query: Mapping[str, str]) -> int:
    """Return the number of the page that is asked for, from 1.

    Raises:
        BadQueryError: It is none.
    """
    text = read_text(query, "page") or "1"
    if not _PAGE.fullmatch(text):
        raise BadQueryError(f"page is {text!r}, expected a whole number from 1")
    return int(text)
