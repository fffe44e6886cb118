"""The tables of `docs/configuration.md`, `docs/metrics.md` and `docs/rules.md`, derived from the declarations."""

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from exporter.config.model import Account, App
from exporter.config.policy_model import Expect, Range
from exporter.config.section import FILE_SUFFIX, ValueType, describe, is_secret, keys_of, kind_of, kinds_of
from exporter.config.value_types import DURATION_WORDS, Choices, DefaultNote
from exporter.core.collection_state import State
from exporter.metrics.family import Declaration, Label
from exporter.rules.rule import Rule
from exporter.rules.vocabulary import ExpectFacts, Fact, FactType, facts_of, walk

_MOST_VALUES: Final = 20
"""Of which the table of labels names each."""
_TYPE: Final = "type"
_TABLES_OF_THEIR_OWN: Final = frozenset({App, Expect, *kinds_of(Account)["credentials"].models, Range})
"""All but a range, which has two keys that are explained beside the expectations."""
_EXPECTATIONS: Final = "app.expect"
_MARKS: Final = {"histogram": "histogram", "gaugehistogram": "gauge histogram"}
"""What the name of a family does not show."""
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


def keys_table(model: type[BaseModel]) -> str:
    """Return the keys of a mapping, and of those within it that have no table of their own."""
    return table(("key", "value", "meaning"), _rows_of_keys(model))


def credentials_table() -> str:
    """Return a row for each type of credentials, and for its keys; those of an earlier type together."""
    rows: list[tuple[str, str, str]] = []
    for kind in kinds_of(Account)["credentials"].models:
        name = kind.model_fields[_TYPE].default
        own = list(_rows_of_keys(kind))
        known = [row[0] for row in own if row in rows]
        rows.append((f"**`{name}`**", "", inspect.cleandoc(kind.__doc__ or "")))
        rows += [row for row in own if row not in rows]
        rows += [(", ".join(known), "", "As above.")] if known else []
    return table(("type, keys", "value", "meaning"), rows)


def _rows_of_keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield a row for each key; a mapping within follows, with the path to its keys."""
    kinds = kinds_of(model)
    for key, field in keys_of(model).items():
        if key == _TYPE:
            continue
        kind = kinds[key]
        value = ", ".join(filter(None, (_type_of_value(kind), _default(field, kind))))
        yield _names(prefix + key, kind), value, field.description or ""
        item = kind if kind.item is None else kind_of(kind.item)
        for inner in item.models:
            if inner not in _TABLES_OF_THEIR_OWN:
                step = "" if kind.item is None else "[]" if describe(kind) == "a list" else ".NAME"
                yield from _rows_of_keys(inner, f"{prefix}{key}{step}.")


def _names(key: str, kind: ValueType) -> str:
    return f"`{key}`" + (f" or `{key}{FILE_SUFFIX}`" if is_secret(kind) else "")


def _type_of_value(kind: ValueType) -> str:
    """Return what a value has to be, shortly."""
    if kind.models:
        return "range" if Range in kind.models else "mapping"
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
        return f"default {note.words}"
    if kind.models or field.default in (None, "", (), {}):
        return ""
    return f"default `{_as_yaml(TypeAdapter(field.rebuild_annotation()).dump_python(field.default, mode='json'))}`"


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
        labels = ", ".join(label.name for label in (declaration.labels[2:] if of_apps else declaration.labels))
        name = f"`{declaration.name}{{{labels}}}`" if labels else f"`{declaration.name}`"
        marks = [_MARKS[declaration.kind]] if declaration.kind in _MARKS else []
        marks += [] if declaration.stability == "stable" else [f"*{declaration.stability}*"]
        rows.append((" ".join((name, *marks)), f"{declaration.help} {declaration.note}".strip()))
    return table(("family", "means"), rows)


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
        values = _values(label)
        first, mark, more = label.meaning.partition(";")
        first = f"{first.removesuffix('.')}: {values}{mark or '.'}" if values else f"{first}{mark}"
        rows.append((f"`{label.name}`{where}", first + more))
    return table(("label", "means"), rows)


def _values(label: Label) -> str:
    """Return the closed set of a label's values, if it has one; most of the states by those that are missing."""
    missing = set(State) - set(label.values)
    if 0 < len(missing) < len(label.values) and set(label.values) < set(State):
        return f"a state of `rtcmpu_collection_state` except {code(one for one in State if one in missing)}"
    values = label.values if len(label.values) <= _MOST_VALUES else (*label.values[:3], "…")
    return code(values)


def variables_table() -> str:
    """Return a row for each variable and each of its fields; one for all expectations of a type."""
    rows = []
    for path, fact in walk():
        if fact.group is ExpectFacts:
            rows += [(f"`{path}`", _type_of_fact(fact), fact.description), *_rows_of_expectations(path)]
        elif not path.startswith(f"{_EXPECTATIONS}."):
            rows.append((f"`{path}`", _type_of_fact(fact), fact.description))
    return table(("name", "type", "means"), rows)


def _rows_of_expectations(path: str) -> Iterator[tuple[str, str, str]]:
    """Yield a row for each type, with the expectations that have it."""
    names: dict[str, list[Fact]] = {}
    for fact in facts_of(ExpectFacts):
        names.setdefault(_type_of_fact(fact), []).append(fact)
    for kind, facts in names.items():
        first, *others = facts
        fields = [] if first.group is None else facts_of(first.group)
        means = " ".join(f"`{field.name}` ({_type_of_fact(field)}): {field.description}" for field in fields)
        yield f"`{path}.{first.name}`" + "".join(f", `{fact.name}`" for fact in others), kind, means or "As configured."


def _type_of_fact(fact: Fact) -> str:
    """Return a field's type as CEL has it; a question mark follows if the field can be absent."""
    name = "fields" if fact.kind is FactType.GROUP else fact.kind
    text = (f"list of {name}" if fact.is_list else name) + ("?" if fact.is_optional else "")
    return text if fact.kind is FactType.GROUP else f"`{text}`"


def rules_table(rules: Iterable[Rule]) -> str:
    """Return a row for each rule."""
    rows = ((f"`{rule.name}`", rule.severity, rule.title) for rule in rules)
    return table(("rule", "severity", "finds"), rows)
