"""Expressions that differ from a given one in one small mistake, such as someone might make while editing it."""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

_TOKEN: Final = re.compile(r'\s*("[^"]*"|[0-9]+(?:\.[0-9]+)?|[A-Za-z_][A-Za-z_0-9.]*|<=|>=|==|!=|&&|\|\||.)', re.DOTALL)
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_SWAPPED: Final = {
    "<": ("<=", ">", ">="),
    "<=": ("<", ">", ">="),
    ">": (">=", "<", "<="),
    ">=": (">", "<", "<="),
    "==": ("!=",),
    "!=": ("==",),
    "&&": ("||",),
    "||": ("&&",),
}
_OPENING: Final = ("(", "[")
_CLOSING: Final = (")", "]")
_QUANTIFIED: Final = {".all": ".exists", ".exists": ".all"}

Tokens = Sequence[str]


class Span(NamedTuple):
    """Some tokens in succession."""

    start: int
    end: int


def mutants(expression: str) -> list[str]:
    """Return every mutant of an expression in CEL once.

    Each comparison is turned and shifted; each number is one more, one less, and moved by one in its last digit; each
    `&&` is an `||`, and the reverse; each of their operands is left out, and is negated; each `!` is left out; each
    element of a list is left out; `all` is `exists`, and the reverse; the whole is negated.
    """
    tokens = _TOKEN.findall(expression)
    written = _written(tokens)
    found = {*_changed_tokens(tokens), *_changed_operands(tokens), *_shorter_lists(tokens), f"!({written})"}
    return sorted(found - {written})


def _changed_tokens(tokens: Tokens) -> Iterator[str]:
    """Yield what comes of changing a single token."""
    for place, token in enumerate(tokens):
        others: list[str] = list(_SWAPPED.get(token, ()))
        if _NUMBER.fullmatch(token):
            others += _other_numbers(token)
        if token == "!":
            others.append("")
        others += [token.removesuffix(old) + new for old, new in _QUANTIFIED.items() if token.endswith(old)]
        for other in others:
            yield _written([*tokens[:place], other, *tokens[place + 1 :]])


def _other_numbers(number: str) -> list[str]:
    """Return a number's neighbours, of its own type."""
    decimals = len(number.partition(".")[2])
    steps = {1.0, 10.0**-decimals}
    return [f"{float(number) + sign * step:.{decimals}f}" for step in steps for sign in (1, -1)]


def _changed_operands(tokens: Tokens) -> Iterator[str]:
    """Yield what comes of leaving out or negating an operand of `&&` and `||`."""
    for group in _groups(tokens):
        alternatives = _split(tokens, group, "||")
        lists = [alternatives, *(_split(tokens, alternative, "&&") for alternative in alternatives)]
        for operands in lists:
            for index, operand in enumerate(operands if len(operands) > 1 else ()):
                before, after = tokens[: operand.start], tokens[operand.end :]
                yield _written([*before, "!", "(", *tokens[operand.start : operand.end], ")", *after])
                yield _written([*before, *after[1:]] if index == 0 else [*before[:-1], *after])


def _shorter_lists(tokens: Tokens) -> Iterator[str]:
    """Yield what comes of leaving out one element of a list."""
    for place, token in enumerate(tokens):
        if token == "[":
            end = tokens.index("]", place)
            for element in range(place + 1, end, 2):
                left = element if tokens[element + 1] == "," else element - 1
                yield _written([*tokens[:left], *tokens[left + 2 :]])


def _groups(tokens: Tokens) -> list[Span]:
    """Return the whole, and each argument, element and content of parentheses."""
    found, open_at = [Span(0, len(tokens))], [0]
    for place, token in enumerate(tokens):
        if token in _OPENING:
            open_at.append(place + 1)
        elif token == ",":
            found.append(Span(open_at[-1], place))
            open_at[-1] = place + 1
        elif token in _CLOSING:
            found.append(Span(open_at.pop(), place))
    return found


def _split(tokens: Tokens, span: Span, operator: str) -> list[Span]:
    """Return the operands of an operator within a span, though not within parentheses in it."""
    parts, depth, start = [], 0, span.start
    for place in range(span.start, span.end):
        depth += (tokens[place] in _OPENING) - (tokens[place] in _CLOSING)
        if tokens[place] == operator and depth == 0:
            parts.append(Span(start, place))
            start = place + 1
    return [*parts, Span(start, span.end)]


def _written(tokens: Tokens) -> str:
    """Return tokens as an expression."""
    return " ".join(token for token in tokens if token)
