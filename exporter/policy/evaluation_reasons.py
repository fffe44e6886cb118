"""Why an expression has no value: the library's errors as one plain line."""

import re
from collections.abc import Callable
from typing import Final

from exporter.policy.facts import LONGEST_LIST
from exporter.policy.type_words import mismatch
from exporter.policy.vocabulary import walk

LONGEST_REASON: Final = 300

_CODE: Final = re.compile(r"^[A-Z_]+: ")
_TRAILING_CODE: Final = re.compile(r" \[[A-Z_]+\]$")


def reason_of(error: str, expression: str) -> str:
    """Return why an expression can't be evaluated.

    Args:
        error: What the library says.
        expression: Its text, which tells which of several fields of one name is meant.
    """
    for pattern, explain in _EXPLANATIONS:
        if found := pattern.search(error):
            return _one_line(explain(found, expression))
    return _one_line(_CODE.sub("", _TRAILING_CODE.sub("", error)))


def _missing(found: re.Match[str], expression: str) -> str:
    """Name the missing field and what it is missing from."""
    key = found[2]
    if any(fact.name == key and fact.is_list for _, fact in walk()):
        return f"{key} has more than {LONGEST_LIST} items: rules look at no longer list"
    groups = {path.rpartition(".")[0] for path, fact in walk() if fact.name == key and "." in path}
    named = {group for group in groups if _names(expression, group, key)} or groups
    if len(named) == 1:
        return f"{named.pop()} has no {key} here: guard it with has()"
    return f"there is no {key} here: guard it with has()"


def _names(expression: str, group: str, key: str) -> bool:
    """Whether the expression spells the field out with its group; an item of a list has another name there."""
    return group.endswith("[]") or f"{group}.{key}" in expression


def _mismatch(found: re.Match[str], _: str) -> str:
    """Name the operator and the types."""
    return mismatch(found[1], found[2].split(", "))


def _no_item(found: re.Match[str], _: str) -> str:
    """Name the index."""
    return f"there is no item {found[1]} in a list of {found[2]}: guard it with size()"


def _plain(reason: str) -> Callable[[re.Match[str], str], str]:
    """Return an explanation that is always the same."""
    return lambda *_: reason


def _one_line(reason: str) -> str:
    """Return the reason in one line of bounded length."""
    return " ".join(reason.split())[:LONGEST_REASON] or "it has no value, and nothing says why"


_EXPLANATIONS: Final = (
    (re.compile(r"Key not found in map : ([\"']?)(.*)\1", re.DOTALL), _missing),
    (re.compile(r"No matching overloads found : (.+?)\((.*)\)", re.DOTALL), _mismatch),
    (re.compile(r"Index error: index=(-?\d+) size=(\d+)"), _no_item),
    (re.compile(r'No value with name "(.*?)"'), lambda found, _: f"no {found[1]} is given here"),
    (
        re.compile(r"Iteration budget exceeded"),
        _plain("the expression was stopped: it takes too many steps (more than 10,000)"),
    ),
    (re.compile(r"bad_alloc"), _plain("the expression was stopped: it needs too much memory")),
    (re.compile(r"divide by zero|modulus by zero"), _plain("it divides by 0: guard it with a condition")),
    (re.compile(r"integer overflow"), _plain("a number leaves the range of 64 bits")),
)
