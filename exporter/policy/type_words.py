"""CEL's types and operators in words, for the people who mistook one."""

import re
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from exporter.policy.protobuf_types import message_paths

_WORDS: Final = MappingProxyType(
    {
        "bool": "a condition (true or false)",
        "int": "a number (int)",
        "uint": "a number (uint)",
        "double": "a number (double)",
        "string": "a text (string)",
        "bytes": "bytes",
        "timestamp": "a point in time (timestamp)",
        "duration": "a duration",
        "list": "a list",
        "map": "a map",
        "null": "null",
        "type": "a type",
        "dyn": "a value of any type",
    }
)
_COMPARISONS: Final = frozenset({"<", "<=", ">", ">=", "==", "!="})
_LOGICAL: Final = frozenset({"&&", "||", "!"})
_OPERATOR: Final = re.compile(r"_?([^A-Za-z_]+)_")
_GENERIC: Final = re.compile(r"[(<].*", re.DOTALL)


def in_words(type_name: str) -> str:
    """Return a type in words, from one of the ways in which the library names it."""
    path = message_paths().get(type_name)
    if path is not None:
        return path
    plain = _GENERIC.sub("", type_name).removeprefix("google.protobuf.").lower()
    return _WORDS.get(plain.removesuffix("64").removesuffix("_type"), "something else")


def mismatch(function: str, type_names: Sequence[str]) -> str:
    """Return what is wrong with applying an operator or a function, as the library names it, to such types."""
    words = [in_words(name) for name in type_names]
    match function:
        case "_?_:_" if words[0] != in_words("bool"):
            text = f'"?" needs a condition (true or false) before it, this is {words[0]}'
        case "_?_:_":
            text = f'both sides of ":" must be of one type, these are {words[1]} and {words[2]}'
        case "_[_]":
            text = f"[] can't look up {words[1]} in {words[0]}"
        case "@in":
            text = f'"in" can\'t look for {words[0]} in {words[1]}'
        case _ if (operator := _OPERATOR.fullmatch(function)) is not None:
            text = _unfit_operands(operator[1], words)
        case _:
            text = f"{function}() can't take {' and '.join(words)}"
    return text + _hint(type_names)


def _unfit_operands(symbol: str, words: Sequence[str]) -> str:
    """Return what is wrong with applying an operator that is written between or before its operands."""
    if symbol in _LOGICAL:
        unfit = next((word for word in words if word != in_words("bool")), words[0])
        return f'"{symbol}" is for conditions (true or false), not for {unfit}'
    if symbol in _COMPARISONS:
        return f'"{symbol}" can\'t compare {" with ".join(words)}'
    return f'"{symbol}" can\'t take {" and ".join(words)}'


def _hint(type_names: Sequence[str]) -> str:
    """Return what to write instead, where that is known."""
    names = {name.removesuffix("64") for name in type_names}
    if names == {"int", "double"}:
        return ": write 2.0 for 2, or double(…)"
    if "null_type" in names:
        return ": absent values are found with has()"
    return ""
