"""The tables of `docs/configuration.md`, `docs/metrics.md` and `docs/rules.md`, derived from the declarations."""

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from exporter.config.model import Config
from exporter.config.section import FILE_SUFFIX, ValueType, describe, is_secret, keys_of, kind_of, kinds_of
from exporter.config.value_types import DURATION_WORDS, Choices, DefaultNote
from exporter.metrics.family import Declaration, Label
from exporter.rules.rule import Rule
from exporter.rules.vocabulary import ExpectFacts, Fact, FactType, Variables, facts_of, walk

_MOST_VALUES: Final = 20
"""Of which the table of labels names each."""
_BRIEF: Final = {
    DURATION_WORDS.words: "duration",
    "a whole number": "integer",
    "a number": "number",
    "a list of numbers, each greater than the one before": "ascending numbers",
    "a text": "text",
    "printable ASCII without spaces": "text",
    "true or false": "boolean",
    "the name of a file": "file",
    "a host name without scheme and path": "host",
    "an address with http:// or https:// and a host": "URL",
    "http:// or https:// and a host, without path, user and password": "URL of a host",
    "http:// or https:// and a host, without path": "URL of a host",
}


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; what would end a cell is escaped."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in (columns, ["---"] * len(columns), *escaped))


def code(names: Iterable[str]) -> str:
    """Return names as code."""
    return ", ".join(f"`{name}`" for name in names)


def mappings(model: type[BaseModel] = Config) -> Iterator[type[BaseModel]]:
    """Yield a mapping and all that can be within it."""
    yield model
    for kind in kinds_of(model).values():
        for inner in (kind if kind.item is None else kind_of(kind.item)).models:
            yield from mappings(inner)


def keys_of_mapping(model: type[BaseModel]) -> str:
    """Return what a mapping is for, and its keys."""
    kinds = kinds_of(model)
    rows = [
        (_names(key, kinds[key]), _type_of_value(kinds[key]), _default(field, kinds[key]), field.description or "")
        for key, field in keys_of(model).items()
        if key != "type"
    ]
    about = inspect.cleandoc(model.__doc__ or "")
    return f"{about}\n" + (f"\n{table(('key', 'type', 'default', 'meaning'), rows)}" if rows else "")


def _names(key: str, kind: ValueType) -> str:
    return f"`{key}`" + (f" or `{key}{FILE_SUFFIX}`" if is_secret(kind) else "")


def _type_of_value(kind: ValueType) -> str:
    """Return what a value has to be, shortly."""
    if kind.models:
        return "mapping"
    if kind.item is None or describe(kind) not in {"a list", "a mapping (name: value)"}:
        return _brief(describe(kind))
    return f"list of {_items(kind_of(kind.item))}" if describe(kind) == "a list" else "mapping by name"


def _items(kind: ValueType) -> str:
    """Return what the items of a list are."""
    if kind.models:
        return "mappings"
    is_closed = kind.core is bool or (kind.find(Choices) is not None and describe(kind) != "a text")
    return _brief(describe(kind)) if is_closed else "texts"


def _brief(words: str) -> str:
    """Return what a value must be without what the page says once for all keys."""
    for long, brief in _BRIEF.items():
        words = words.replace(long, brief)
    return re.sub(r", at least (\S+) and at most (\S+)", r", \1 to \2", words)


def _default(field: FieldInfo, kind: ValueType) -> str:
    """Return the default as it would be written."""
    if field.is_required():
        return "**required**"
    note = kind.find(DefaultNote)
    if note is not None:
        return note.words
    if kind.models or field.default in (None, "", (), {}):
        return ""
    return f"`{_as_yaml(TypeAdapter(field.rebuild_annotation()).dump_python(field.default, mode='json'))}`"


def _as_yaml(value: object) -> str:
    """Return a value as YAML has it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_as_yaml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def families_table(declarations: Iterable[Declaration], *, of_apps: bool = True) -> str:
    """Return a row for each family; `of_apps` leaves out the labels `account` and `app_id`, which all of them have."""
    rows = []
    for declaration in declarations:
        kind: str = "gauge histogram" if declaration.kind == "gaugehistogram" else declaration.kind
        if declaration.stability != "stable":
            kind += f", *{declaration.stability}*"
        labels = declaration.labels[2:] if of_apps else declaration.labels
        means = f"{declaration.help} {declaration.note}".strip()
        rows.append((f"`{declaration.name}`", kind, code(label.name for label in labels), means))
    return table(("family", "type", "labels", "means"), rows)


def labels_table(declarations: Iterable[Declaration]) -> str:
    """Return a row for each label; one that differs between families has a row for each of its meanings."""
    users: dict[Label, list[str]] = {}
    for declaration in declarations:
        for label in declaration.labels:
            users.setdefault(label, []).append(declaration.name)
    ambiguous = {label.name for label in users if sum(other.name == label.name for other in users) > 1}
    rows = []
    for label in sorted(users, key=lambda label: label.name):
        where = f" of {code(users[label])}" if label.name in ambiguous and len(users[label]) == 1 else ""
        values = label.values if len(label.values) <= _MOST_VALUES else (*label.values[:3], "…")
        rows.append((f"`{label.name}`{where}", code(values) if values else "any", label.meaning))
    return table(("label", "values", "means"), rows)


def variables_tables() -> str:
    """Return a heading and a table for the variables, and for each group of fields; types alone for `app.expect`."""
    groups = {fact.group: (path, fact) for path, fact in reversed(tuple(walk())) if fact.group is not None}
    parts = ["### Variables\n", _fact_table(Variables)]
    for group, (path, fact) in reversed(groups.items()):
        about = inspect.cleandoc(group.__doc__ or "")
        about = about.partition(": ")[2] or about
        parts += (f"### `{path}{'[]' if fact.is_list else ''}`\n", about[0].upper() + about[1:])
        parts.append("\n" + (_types_of_facts(group) if group is ExpectFacts else _fact_table(group)))
    return "\n".join(parts)


def _fact_table(group: type[Struct]) -> str:
    """Return a row for each field of a group."""
    rows = ((f"`{fact.name}`", _type_of_fact(fact), fact.description) for fact in facts_of(group))
    return table(("name", "type", "means"), rows)


def _types_of_facts(group: type[Struct]) -> str:
    """Return a row for each type, with the fields of a group that have it."""
    names: dict[str, list[str]] = {}
    for fact in facts_of(group):
        names.setdefault(_type_of_fact(fact), []).append(fact.name)
    return table(("type", "names"), ((kind, code(of_kind)) for kind, of_kind in names.items()))


def _type_of_fact(fact: Fact) -> str:
    """Return a field's type as CEL has it; a question mark follows if the field can be absent."""
    name = "fields" if fact.kind is FactType.GROUP else f"`{fact.kind}`"
    return (f"list of {name}" if fact.is_list else name) + ("?" if fact.is_optional else "")


def rules_table(rules: Iterable[Rule]) -> str:
    """Return a row for each rule."""
    rows = ((f"`{rule.name}`", rule.severity, rule.title, rule.remedy) for rule in rules)
    return table(("rule", "severity", "finds", "what to do"), rows)
