"""From the text of a rule file to rules, every mistake with its place; expressions are compiled in a second step."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cache
from importlib import resources
from types import GenericAlias
from typing import Annotated, Any, Final

from msgspec import Struct, structs
from pydantic import BaseModel, BeforeValidator, Field, create_model

from exporter.config.files import SourceText
from exporter.config.mistakes import Mistakes, Position
from exporter.config.policy_model import PROFILES, RuleName, SeverityName
from exporter.config.section import Section
from exporter.config.validation import check_unique, items_at, text_at, validate
from exporter.config.value_types import (
    DURATION_WORDS,
    Choices,
    Day,
    Expected,
    Matches,
    Moment,
    Number,
    OrNone,
    Some,
    Switch,
    Url,
    Whole,
    parse_duration,
)
from exporter.config.yaml_nodes import Node, compose
from exporter.rules.cel_language import CompileMistake
from exporter.rules.cost import MESSAGE_FACTOR, MOST_TOTAL_COST
from exporter.rules.rule import Case, CompiledRule, Exemption, Outcome, Rule, RuleError, Severity, compile_rule
from exporter.rules.vocabulary import FactType, Variables, facts_of

EXPRESSIONS: Final = ("when", "expect", "message")  # the keys whose values are expressions

Line = Annotated[str, Matches(r"^[^\r\n]{1,200}$", "one line of at most 200 characters")]
Words = Annotated[str, Field(max_length=2000)]
Expression = Annotated[str, Field(min_length=1), Expected("an expression")]
AppPattern = Annotated[str, Matches(r"^[A-Za-z0-9_*?!\[\]-]{1,64}$", "an AppId, or a pattern with * or ?")]
TaskPattern = Annotated[str, Field(min_length=1), Expected("a TaskId, or a pattern with * or ?")]
Age = Annotated[
    timedelta,
    BeforeValidator(lambda text: timedelta(seconds=parse_duration(text)) if isinstance(text, str) else text),
    DURATION_WORDS,
]
OutcomeName = Annotated[str, Choices(tuple(map(str, Outcome)))]
_TYPES: Final[dict[FactType, Any]] = {
    FactType.TEXT: str,
    FactType.WHOLE_NUMBER: Whole,
    FactType.NUMBER: Number,
    FactType.CONDITION: Switch,
    FactType.TIMESTAMP: Moment,
    FactType.DURATION: Age,
}


@cache
def _given_facts(group: type[Struct]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for fact in facts_of(group):
        kind = _given_facts(fact.group) if fact.group is not None else _TYPES[fact.kind]
        if fact.is_list:
            kind = GenericAlias(list, kind)
        elif fact.is_optional and fact.kind in {FactType.WHOLE_NUMBER, FactType.NUMBER}:
            kind = Annotated[kind | None, OrNone]
        fields[fact.name] = (kind | None if fact.group else kind, None)
    return create_model(group.__name__, __base__=Section, **fields)


class WrittenExemption(Section):
    """One of `exempt`."""

    name: RuleName
    tasks: Some[TaskPattern]
    until: Day | None = None
    reason: Words = ""


class WrittenCase(_given_facts(Variables)):  # type: ignore[misc]  # built from their declaration
    """One of `tests`: variables of rules, and what comes of them."""

    outcome: OutcomeName


class WrittenRule(Section):
    """One of `rules`."""

    name: RuleName
    title: Line
    severity: SeverityName
    expect: Expression
    owner: Line = ""
    runbook_url: Url = ""
    apps: Some[AppPattern] = ()
    when: Expression = ""
    message: Expression = ""
    exempt: Some[WrittenExemption] = ()
    tests: Some[WrittenCase] = ()
    reason: Words = ""
    remedy: Words = ""


class RuleFile(Section):
    """The whole file."""

    rules: Some[WrittenRule]


RESERVED_PREFIX: Final = "expect-"  # how the names of the rules begin that come from what is expected of apps

_KEY: Final = re.compile(r"(?:^|[\s{,-])([A-Za-z_]+):(?=\s)")

_TOO_MUCH: Final = (
    "and those before it can take too much time for one task together: make the ones simpler that loop in loops, or"
    " that match long patterns"
)


class PlacedRule(Struct, frozen=True):
    """A rule and where it is in its file."""

    rule: Rule
    node: Node
    source: SourceText

    @property
    def name_place(self) -> Position:
        """The place of its name; where it has none, its own."""
        return (text_at(self.node, "name") or self.node).position


def parse_rules(text: str, file: str) -> tuple[Rule, ...]:
    """Return the rules in a text, their expressions unchecked; raises ConfigError with every mistake."""
    mistakes = Mistakes()
    placed = read_rules(SourceText(file, 0, text), mistakes) or ()
    mistakes.raise_if_any()
    return tuple(one.rule for one in placed)


def read_rules(source: SourceText, mistakes: Mistakes) -> tuple[PlacedRule, ...] | None:
    """Return the rules of a file, unchecked, with stand-ins for those with mistakes; None: none can be made out."""
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
    nodes = items_at(node, "rules")
    written = validate(node, RuleFile, mistakes)
    for one in nodes:
        check_unique(items_at(one, "exempt"), "name", "exemption", mistakes, "once in a rule")
    if written is None:
        return tuple(PlacedRule(_stand_in(one), one, source) for one in nodes) or None
    return tuple(PlacedRule(_rule(rule, one), one, source) for rule, one in zip(written.rules, nodes, strict=True))


def check_names(placed: Iterable[PlacedRule], packaged: Collection[str], mistakes: Mistakes) -> None:
    """Note each rule that has the name of an earlier one or of the package, or one that is not for rules of files."""
    first: dict[str, Position] = {}
    for one in placed:
        name, place = one.rule.name, one.name_place
        if name in packaged:
            mistakes.add(place, f"rule {name} again, expected another name: a built-in rule has it")
        elif name in first:
            mistakes.add(place, f"rule {name} again, expected once: the first is at {first[name]}")
        elif name.startswith(RESERVED_PREFIX):
            mistakes.add(place, f"name {name} is for what is expected of apps, expected one without {RESERVED_PREFIX}")
        elif name:
            first[name] = place


def compile_rules(placed: Iterable[PlacedRule], mistakes: Mistakes) -> tuple[CompiledRule, ...]:
    """Return the rules, compiled; each mistake in an expression is noted at its place in the file."""
    compiled = []
    total = 0
    for one in placed:
        try:
            rule = compile_rule(one.rule)
            compiled.append(rule)
            message_cost = 0 if rule.message is None else rule.message.cost
            before, total = total, total + rule.cost + MESSAGE_FACTOR * message_cost
            if before <= MOST_TOTAL_COST < total:
                mistakes.add(one.name_place, f"rule {one.rule.name} {_TOO_MUCH}")
        except RuleError as error:
            for key, mistake in error.mistakes:
                _note(one, key, mistake, mistakes)
    return tuple(compiled)


def _rule(written: WrittenRule, node: Node) -> Rule:
    cases = zip(written.tests, items_at(node, "tests"), strict=True)
    meant = {
        "severity": Severity(written.severity),
        "exempt": tuple(Exemption(**dict(one)) for one in written.exempt),
        "tests": tuple(Case(_given(case), Outcome(case.outcome), str(at.position)) for case, at in cases),
        "source": f"{node.position.file}:{node.position.line}",
    }
    return Rule(**dict(written) | meant)


def _given(case: WrittenCase) -> dict[str, Any]:
    """Return the variables that a case gives, and no defaults; a number that is `none` is absent."""
    given: dict[str, Any] = case.model_dump(exclude_unset=True, exclude_none=True)
    del given["outcome"]
    return given


def _stand_in(node: Node) -> Rule:
    """Return the expressions of a rule of a file that has mistakes, to check them too; nothing of it is used."""
    parts: dict[str, Any] = {"name": "", "title": "", "severity": Severity.INFO, "expect": "true"}
    parts |= {key: found.text for key in ("name", *EXPRESSIONS) if (found := text_at(node, key)) and found.text}
    return Rule(**parts)


def _note(placed: PlacedRule, key: str, mistake: CompileMistake, mistakes: Mistakes) -> None:
    source, scalar = placed.source, text_at(placed.node, key)
    assert scalar is not None  # noqa: S101 - it has a mistake
    text = f"{key}: {mistake.text}"
    if source.is_followed_by_comment(scalar):
        text += "; YAML takes what follows # for a comment, an expression that goes on there needs quotes"
    mistakes.add(source.place_within(scalar, mistake.line, mistake.column), text)


def _advice(lines: Sequence[str], place: Position) -> str:
    """Say that an expression needs quotes where YAML reads a part of it as its own."""
    before = lines[place.line - 1][: place.column - 1] if place.line <= len(lines) else ""
    keys = _KEY.findall(before)
    if not keys or keys[-1] not in EXPRESSIONS:
        return ""
    return f"; the expression of {keys[-1]} needs quotes: {keys[-1]}: '…'"


SOURCE: Final = "default"  # the `source` of each default rule
PROFILE_SOURCE: Final = "profile"  # the `source` of each rule of a profile


def default_rules() -> tuple[Rule, ...]:
    """Return the rules that are on by default, in the order of their file."""
    return packaged_rules("default_rules.yml", SOURCE)


def profile_rules() -> Mapping[str, tuple[Rule, ...]]:
    """Return the rules of each profile, in the order of their file: their names begin with the profile's."""
    rules = packaged_rules("profiles.yml", PROFILE_SOURCE)
    return {profile: tuple(rule for rule in rules if rule.name.startswith(f"{profile}-")) for profile in PROFILES}


@cache
def packaged_rules(file: str, source: str) -> tuple[Rule, ...]:
    """Return the rules of one of the package's files."""
    text = resources.files("exporter.rules").joinpath(file).read_text(encoding="utf-8")
    return tuple(structs.replace(rule, source=source) for rule in parse_rules(text, file))
