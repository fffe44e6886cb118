"""The mistakes of an expression, from the text of the library's error: where each is, and what is wrong in words."""

import re
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from exporter.policy.functions import FUNCTIONS
from exporter.policy.nearest_name import suggestion
from exporter.policy.protobuf_types import message_fields, message_paths
from exporter.policy.type_words import in_words, mismatch
from exporter.policy.vocabulary import NAMES, walk

LONGEST_SHOWN: Final = 60


class CompileMistake(NamedTuple):
    """One mistake within an expression."""

    line: int
    """From 1."""
    column: int
    """In characters, from 1."""
    text: str
    """What is wrong, and the nearest name where one is unknown."""


class _Found(NamedTuple):
    """What an explanation makes of one error."""

    offset: int
    """Where in the expression it is."""
    text: str
    variable: str = ""
    """The variable that is unknown."""
    function: str = ""
    """The function that is unknown."""


_Explain: TypeAlias = Callable[[re.Match[str], str, int], _Found]

_ERROR: Final = re.compile(r"^(?:[A-Z_]+: )?ERROR: <input>:(-?\d+):(-?\d+): (.*)$", re.MULTILINE)
_CODE: Final = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")
_SYNTAX: Final = "Syntax error: "
_TOO_DEEP: Final = "it is nested too deeply, more than 32 levels: make it simpler, or several rules of it"
_OTHER_LANGUAGES: Final = MappingProxyType(
    {"and": "&&", "or": "||", "not": "!", "&": "&&", "|": "||", "=": "==", "=~": "matches()", "is": "=="}
)
_LAST_WORD: Final = re.compile(r"(\w+)\s*$")
_FIRST_ARGUMENT: Final = re.compile(r"\(\s*(\w+)\s*,")


def mistakes_of(error: str, expression: str) -> tuple[CompileMistake, ...]:
    """Return the mistakes that an error tells of, by place; what only follows from another is left out."""
    if "recursion" in error:
        return (CompileMistake(1, 1, _TOO_DEEP),)
    found: list[_Found] = []
    for line, column, text in _ERROR.findall(error):
        offset = _offset(expression, int(line), int(column))
        if "*error*" not in text:
            found.append(_explained(_CODE.sub("", text), expression, offset))
        if text.startswith(_SYNTAX):
            break
    independent = _without_consequences(found, expression) or [_Found(0, _shown(_CODE.sub("", error)))]
    return tuple(sorted({CompileMistake(*position(expression, one.offset), one.text) for one in independent}))


def _explained(text: str, expression: str, offset: int) -> _Found:
    """Return what one error says, in words."""
    for pattern, explain in _EXPLANATIONS:
        if found := pattern.fullmatch(text):
            return explain(found, expression, offset)
    return _Found(offset, _shown(text))


def _without_consequences(found: Sequence[_Found], expression: str) -> list[_Found]:
    """Return the mistakes without the unknown variables that an unknown function has left behind.

    These are the namespace in `math.gratest(…)`, and `o` of `task.outputs.exits(o, …)`.
    """
    functions = [one for one in found if one.function]
    namespaces = {one.offset for one in functions if "." in one.function}
    arguments: dict[str, int] = {}
    for one in functions:
        call = expression.find("(", one.offset)
        if argument := _FIRST_ARGUMENT.match(expression, call):
            arguments.setdefault(argument[1], call)
    return [
        one
        for one in found
        if not one.variable
        or (one.offset not in namespaces and one.offset < arguments.get(one.variable, len(expression)))
    ]


def _unknown_field(found: re.Match[str], expression: str, offset: int) -> _Found:
    """Name the field, what it is missing from, and the nearest one."""
    field, message = found[1], found[2]
    place = re.compile(rf"\.\s*`?({re.escape(field)})").search(expression, offset)
    near = suggestion(field, message_fields()[message])
    return _Found(place.start(1) if place else offset, f'unknown field "{field}" of {message_paths()[message]}{near}')


def _undeclared(found: re.Match[str], expression: str, offset: int) -> _Found:
    """Tell a function from a variable, and name the nearest one."""
    name = found[1]
    if expression[offset : offset + 1] == "(":
        return _unknown_function(name, expression, offset)
    root = name.partition(".")[0]
    if "." in name:
        path = r"\s*\.\s*".join(map(re.escape, name.split(".")[:-1]))
        start = re.search(rf"{path}\s*$", expression[:offset])
        offset = start.start() if start else offset
    return _Found(offset, f'unknown variable "{root}"{suggestion(root, NAMES)}', variable=root)


def _unknown_function(name: str, expression: str, offset: int) -> _Found:
    """Say what is wrong with a call; the library points at its parenthesis."""
    before = re.search(rf"(?:\b(math|strings)\s*\.\s*)?{re.escape(name)}\s*$", expression[:offset])
    start = before.start() if before else offset
    full_name = f"{before[1]}.{name}" if before and before[1] else name
    if full_name in FUNCTIONS:
        return _Found(start, f"{full_name}() can't be called like this, but as in {FUNCTIONS[full_name]}")
    if any(fact.name == name for _, fact in walk()):
        return _Found(start, f'"{name}" is no function: write it without parentheses', function=full_name)
    return _Found(start, f'unknown function "{full_name}"{suggestion(full_name, FUNCTIONS)}', function=full_name)


def _mismatch(found: re.Match[str], _: str, offset: int) -> _Found:
    """Name the operator or function and the types."""
    return _Found(offset, mismatch(found[1], _split_types(found[2])))


def _split_types(text: str) -> list[str]:
    """Split type names at the commas between them, not at those within."""
    return [name.strip() for name in re.findall(r"(?:[^,(]|\((?:[^()]|\([^()]*\))*\))+", text)]


def _no_fields(found: re.Match[str], _: str, offset: int) -> _Found:
    """Name the type that has no fields."""
    return _Found(offset, f"{in_words(found[1])} has no fields")


def _unexpected(found: re.Match[str], expression: str, offset: int) -> _Found:
    """Name what stands where it can't, and what its author may have been used to."""
    token = found[1]
    if token == "<EOF>":  # noqa: S105 - no password
        return _Found(offset, "the expression ends too early" if expression.strip() else "the expression is empty")
    before = _LAST_WORD.search(expression[:offset])
    if before and before[1] in _OTHER_LANGUAGES:
        return _Found(before.start(), _instead(before[1]))
    return _Found(offset, _instead(token))


def _unreadable(found: re.Match[str], _: str, offset: int) -> _Found:
    """Say what no token begins with."""
    text = found[1].strip()
    if text[:1] in {"'", '"'}:
        return _Found(offset, "a text that is not closed, or with a backslash that means nothing")
    return _Found(offset, _instead(text))


def _instead(token: str) -> str:
    """Return that a token is not expected, and what to write for it."""
    instead = _OTHER_LANGUAGES.get(token)
    return f'unexpected "{_shown(token)}"' + (f", write {instead}" if instead else "")


def _reserved(found: re.Match[str], _: str, offset: int) -> _Found:
    """Say that a word can't be used."""
    return _Found(offset, f'"{found[1]}" is a reserved word')


def _as_is(text: str) -> _Explain:
    """Return an explanation that is always the same."""
    return lambda _, __, offset: _Found(offset, text)


def _offset(expression: str, line: int, column: int) -> int:
    """Return where a place of the library's is in the expression."""
    lines = expression.split("\n")
    return min(sum(len(one) + 1 for one in lines[: max(line - 1, 0)]) + max(column - 1, 0), len(expression))


def position(expression: str, offset: int) -> tuple[int, int]:
    """Return line and column of a place in the expression."""
    before = expression[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


def _shown(text: str) -> str:
    """Return a text in one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_SHOWN else f"{line[:LONGEST_SHOWN]}…"


_EXPLANATIONS: Final[tuple[tuple[re.Pattern[str], _Explain], ...]] = (
    (re.compile(r"undefined field '(.*)' not found in struct '(.*)'"), _unknown_field),
    (re.compile(r"undeclared reference to '(.*)' \(in container ''\)"), _undeclared),
    (re.compile(r"found no matching overload for '(.*?)' applied to '\((.*)\)'"), _mismatch),
    (re.compile(r"expression of type '(.*)' cannot be the operand of a select operation"), _no_fields),
    (re.compile(r"Syntax error: (?:mismatched|extraneous) input '(.*?)' expecting .*"), _unexpected),
    (re.compile(r"Syntax error: no viable alternative at input '(.*)'"), _unexpected),
    (re.compile(r"Syntax error: token recognition error at: '(.*?)'?"), _unreadable),
    (re.compile(r"reserved identifier: (.*)"), _reserved),
    (re.compile(r"invalid u?int literal"), _as_is("a number that needs more than 64 bits")),
    (
        re.compile(r"has\(\) argument must be a field selection"),
        _as_is("has() takes a field, as in has(task.video.codec)"),
    ),
)
