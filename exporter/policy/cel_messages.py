"""The library's messages about an expression, each at its place, with the nearest name where one is unknown."""

import difflib
import re
from typing import Final, NamedTuple

from exporter.policy.facts import LONGEST_LIST
from exporter.policy.functions import FUNCTIONS
from exporter.policy.protobuf_types import message_fields, message_paths
from exporter.policy.vocabulary import NAMES, TaskFacts, facts_of

LONGEST_MESSAGE: Final = 200

_ERROR: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_CODE: Final = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")
_UNKNOWN_FIELD: Final = re.compile(r"undefined field '(.+)' not found in struct '(.+)'")
_UNKNOWN_NAME: Final = re.compile(r"undeclared reference to '([^.']+)")
_MISSING_KEY: Final = re.compile(r"Key not found in map : [\"']?(\w*)")
_LONGEST_NAME: Final = 80


class CompileMistake(NamedTuple):
    """One mistake within an expression."""

    line: int
    """From 1."""
    column: int
    """In characters, from 1."""
    text: str
    """What is wrong, and the nearest name where one is unknown."""


def mistakes_of(error: str) -> tuple[CompileMistake, ...]:
    """Return the mistakes that an error of the compiler reports, by place; the first alone where it can't be parsed."""
    found = [
        CompileMistake(max(int(line), 1), max(int(column), 1), _in_one_line(text) + _nearest(text))
        for line, column, text in _ERROR.findall(error)
        if "*error*" not in text
    ]
    syntax = [mistake for mistake in found if mistake.text.startswith("Syntax error")]
    return tuple(sorted({*(syntax[:1] or found)})) or (CompileMistake(1, 1, _in_one_line(error)),)


def reason_of(error: str) -> str:
    """Return why an expression has no value."""
    reason = _in_one_line(error) or "it has no value"
    missing = _MISSING_KEY.match(reason)
    if missing is None:
        return reason
    if any(fact.name == missing[1] and fact.is_list for fact in facts_of(TaskFacts)):
        return f"{missing[1]} is missing, or has more than {LONGEST_LIST} items"
    return f"{reason}: guard it with has()"


def position(text: str, offset: int) -> tuple[int, int]:
    """Return line and column of a place in an expression."""
    before = text[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


def _nearest(text: str) -> str:
    """Return `, did you mean "…"?` where a name is unknown and another one is near."""
    if field := _UNKNOWN_FIELD.search(text):
        name, known = field[1], message_fields()[field[2]]
    elif variable := _UNKNOWN_NAME.search(text):
        name, known = variable[1], (*NAMES, *(function.rpartition(".")[2] for function in FUNCTIONS))
    else:
        return ""
    near = difflib.get_close_matches(name[:_LONGEST_NAME], known, n=1)
    return f', did you mean "{near[0]}"?' if near else ""


def _in_one_line(text: str) -> str:
    """Return the library's text without its codes, in one line of bounded length, with groups by their paths."""
    line = _CODE.sub("", _CODE.sub("", " ".join(text.split()))).replace(" (in container '')", "")
    for name, path in message_paths().items():
        line = re.sub(rf"\b{re.escape(name)}\b", path, line)
    return line if len(line) <= LONGEST_MESSAGE else f"{line[:LONGEST_MESSAGE]}…"
