"""The tables of `docs/rules.md`: variables, expectations and the rules of the package, derived from what they are."""

import inspect
from collections.abc import Iterator, Sequence

from msgspec import Struct

from exporter.config.policy_model import Expect
from exporter.config.section import ValueType, keys_of, kinds_of
from exporter.rules.rule import Rule
from exporter.rules.rule_set import rule_name
from exporter.rules.vocabulary import Fact, FactType, Variables, facts_of, walk
from tests.references.markdown import code, table


def variables_tables() -> str:
    """Return a heading and a table for the variables, and for each group of fields."""
    groups = {fact.group: (path, fact) for path, fact in reversed(tuple(walk())) if fact.group is not None}
    parts = ["### Variables\n", _fact_table(Variables)]
    for group, (path, fact) in reversed(groups.items()):
        parts += (f"### `{path}{'[]' if fact.is_list else ''}`\n", inspect.cleandoc(group.__doc__ or "") + "\n")
        parts.append(_fact_table(group))
    return "\n".join(parts)


def _fact_table(group: type[Struct]) -> str:
    """Return a row for each field of a group."""
    rows = ((f"`{fact.name}`", _type(fact), fact.description) for fact in facts_of(group))
    return table(("name", "type", "means"), rows)


def _type(fact: Fact) -> str:
    """Return a field's type as CEL has it."""
    name = "fields" if fact.kind is FactType.GROUP else f"`{fact.kind}`"
    return (f"list of {name}" if fact.is_list else name) + (", *optional*" if fact.is_optional else "")


def expectations_table() -> str:
    """Return a row for each key of `expect`."""
    rows = (
        (f"`{key}`", f"`{rule_name(key)}`", _value(kind), keys_of(Expect)[key].description or "")
        for key, kind in kinds_of(Expect).items()
    )
    return table(("key", "rule", "value", "means"), rows)


def _value(kind: ValueType) -> str:
    """Return how an expectation is written."""
    if kind.core is str:
        return code(kind.metadata[0].values)
    return "`{min: …, max: …}`" if kind.models else "list"


def rules_overview(rules: Sequence[Rule]) -> str:
    """Return a row for each rule, then everything about each."""
    rows = ((f"[`{rule.name}`](#{rule.name})", rule.severity, rule.title) for rule in rules)
    return "\n".join([table(("rule", "severity", "finds"), rows), *("\n".join(_details(rule)) for rule in rules)])


def _details(rule: Rule) -> Iterator[str]:
    yield f"### {rule.name}\n"
    yield f"{rule.title}. Severity: {rule.severity}.\n"
    yield from (f"    {key}: {text}" for key, text in (("when", rule.when), ("expect", rule.expect)) if text)
    yield f"\n{rule.reason}\n"
    yield f"**What to do.** {rule.remedy}\n"
