"""From the text of a rule file to rules, every mistake with its place; expressions are compiled in a second step."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from exporter.config.draft import Draft
from exporter.config.mistakes import Mistakes, Position
from exporter.config.reader import Reader
from exporter.config.shapes import Shape
from exporter.config.source_text import SourceText
from exporter.config.yaml_nodes import Scalar, compose
from exporter.policy.compiled import CompiledRule, RuleError, compile_rule
from exporter.policy.language import CompileMistake, Language
from exporter.policy.rule import Rule
from exporter.policy.rule_format import EXPRESSIONS, RuleFile, rule_of

RESERVED_PREFIX: Final = "expect-"
"""How the names of the rules begin that come from what is expected of apps."""

_RULE_FILE: Final = Shape(kind="mapping", structs=(RuleFile,))
_KEY: Final = re.compile(r"(?:^|[\s{,-])([A-Za-z_]+):(?=\s)")


class PlacedRule(Struct, frozen=True):
    """A rule and where it stands in its file."""

    rule: Rule
    name_place: Position
    source: SourceText
    expressions: Mapping[str, Scalar]
    """What stands there, by key."""


def parse_rules(text: str, file: str) -> tuple[Rule, ...]:
    """Return the rules that stand in a text, their expressions unchecked.

    Args:
        text: A whole rule file.
        file: Its name, as mistakes show it.

    Raises:
        ConfigError: With every mistake.
    """
    mistakes = Mistakes()
    placed = read_rules(SourceText(file, 0, text), mistakes) or ()
    check_names(placed, {}, mistakes)
    mistakes.raise_if_any()
    return tuple(one.rule for one in placed)


def read_rules(source: SourceText, mistakes: Mistakes) -> tuple[PlacedRule, ...] | None:
    """Return the rules of a file, their expressions unchecked.

    A rule with mistakes is there too, with stand-ins for what is wrong; None where no rule can be made out.
    `${NAME}` has no meaning in a rule file.

    Args:
        source: The file.
        mistakes: Is told what is wrong.
    """
    lines = source.text.splitlines()
    node = compose(
        source.text,
        file=source.file,
        file_order=source.file_order,
        mistakes=mistakes,
        advice=lambda place: _advice(lines, place),
    )
    if node is None:
        return None
    reader = Reader(directory=Path(), environ=None, mistakes=mistakes)
    draft = reader.read(node, _RULE_FILE, "the file")
    if not isinstance(draft, Draft) or "rules" not in draft.values:
        return None
    rules = draft.drafts("rules")
    for one in rules:
        _check_exemptions(one, mistakes)
    return tuple(_placed(one, source) for one in rules)


def check_names(placed: Iterable[PlacedRule], default_rules: Mapping[str, Rule], mistakes: Mistakes) -> None:
    """Note each rule that has another one's name, or one that is not for rules of files.

    Args:
        placed: The rules of all files.
        default_rules: The rules that come along, by name.
        mistakes: Is told what is wrong.
    """
    first: dict[str, Position] = {}
    for one in placed:
        name, place = one.rule.name, one.name_place
        if name in default_rules:
            mistakes.add(place, f"rule {name} again, expected another name: a default rule has it")
        elif name in first:
            mistakes.add(place, f"rule {name} again, expected once: it stands at {first[name]}")
        elif name.startswith(RESERVED_PREFIX):
            mistakes.add(place, f"name {name} is for what is expected of apps, expected one without {RESERVED_PREFIX}")
        elif name:
            first[name] = place


def compile_rules(placed: Iterable[PlacedRule], language: Language, mistakes: Mistakes) -> tuple[CompiledRule, ...]:
    """Return the rules, compiled; each mistake in an expression is noted at its place in the file."""
    compiled = []
    for one in placed:
        try:
            compiled.append(compile_rule(one.rule, language))
        except RuleError as error:
            for key, mistake in error.mistakes:
                _note(one.source, one.expressions[key], key, mistake, mistakes)
    return tuple(compiled)


def _placed(draft: Draft, source: SourceText) -> PlacedRule:
    """Keep what is needed to tell the places of later mistakes."""
    nodes = {key: draft.nodes.get(key) for key in EXPRESSIONS}
    return PlacedRule(
        rule=rule_of(draft),
        name_place=draft.place("name"),
        source=source,
        expressions={key: node for key, node in nodes.items() if isinstance(node, Scalar)},
    )


def _note(source: SourceText, scalar: Scalar, key: str, mistake: CompileMistake, mistakes: Mistakes) -> None:
    """Note a mistake of an expression at its place in the file."""
    text = f"{key}: {mistake.text}"
    if source.is_followed_by_comment(scalar):
        text += "; YAML takes what follows # for a comment, an expression that goes on there needs quotes"
    mistakes.add(source.place_within(scalar, mistake.line, mistake.column), text)


def _check_exemptions(draft: Draft, mistakes: Mistakes) -> None:
    """Note each exemption that has the name of an earlier one of the same rule."""
    first: dict[object, Position] = {}
    for exemption in draft.drafts("exempt"):
        name, place = exemption.values.get("name"), exemption.place("name")
        if name in first:
            mistakes.add(place, f"exemption {name} again, expected once in a rule: it stands at {first[name]}")
        elif name is not None:
            first[name] = place


def _advice(lines: Sequence[str], place: Position) -> str:
    """Say that an expression needs quotes where YAML reads a part of it as its own."""
    before = lines[place.line - 1][: place.column - 1] if place.line <= len(lines) else ""
    keys = _KEY.findall(before)
    if not keys or keys[-1] not in EXPRESSIONS:
        return ""
    return f"; the expression of {keys[-1]} needs quotes: {keys[-1]}: '…'"
