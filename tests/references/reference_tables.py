"""What `docs/configuration.md`, `docs/metrics.md` and `docs/rules.md` list, derived from the declarations."""

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
_LISTS_OF_THEIR_OWN: Final = frozenset({App, Expect, *kinds_of(Account)["credentials"].models, Range})
"""All but a range, which has two keys that are explained beside the expectations."""
_EXPECTATIONS: Final = "app.expect"
_SAID_ONCE: Final = " Multiply by 8 for bits per second."
"""Which the page says for all families."""
_MARKS: Final = {"histogram": "histogram", "gaugehistogram": "gauge histogram"}
"""What the name of a family does not show."""
_BRIEF: Final = {
    DURATION_WORDS.words: "duration",
    "a whole number": "integer",
    "a number": "number",
    "a list of numbers, each greater than the one before": "numbers",
    "a text": "text",
    "printable ASCII without spaces": "text",
    "true or false": "boolean",
    "the name of a file": "file",
    "a host name without scheme and path": "host",
    "*.example.com": "`*.example.com`",
    "an address with http:// or https:// and a host": "URL",
    "http:// or https:// and a host, without path, user and password": "URL of a host",
    "http:// or https:// and a host, without path": "URL of a host",
}


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; what would end a cell is escaped."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in (columns, ["---"] * len(columns), *escaped))


def entries(described: Iterable[tuple[str, str]]) -> str:
    """Return a list of names with what they mean."""
    return "".join(("\n", *(f"- {name}: {text}\n" for name, text in described), "\n"))


def code(names: Iterable[str]) -> str:
    """Return names as code."""
    return ", ".join(f"`{name}`" for name in names)


def keys_list(model: type[BaseModel]) -> str:
    """Return the keys of a mapping, and of those within it that have no list of their own."""
    return entries(_keys(model))


def credentials_list() -> str:
    """Return the types of credentials, each with its keys; those of an earlier type are named together."""
    text = ""
    described: list[tuple[str, str]] = []
    for kind in kinds_of(Account)["credentials"].models:
        text += f"- `{kind.model_fields[_TYPE].default}`: {inspect.cleandoc(kind.__doc__ or '')}\n"
        own = list(_keys(kind))
        known = [name.partition(" (")[0] for name, means in own if (name, means) in described]
        described += [one for one in own if one not in described]
        own = [one for one in own if one[0].partition(" (")[0] not in known]
        own += [(", ".join(known), "As above.")] if known else []
        text += "".join(f"    - {name}: {means}\n" for name, means in own)
    return f"\n{text}\n"


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each key with what it means; those of a mapping within follow, with the path to them."""
    kinds = kinds_of(model)
    for key, field in keys_of(model).items():
        if key == _TYPE:
            continue
        kind = kinds[key]
        value = ", ".join(filter(None, (_type_of_value(kind), _default(field, kind))))
        yield f"{_names(prefix + key, kind)} ({value})", field.description or ""
        item = kind if kind.item is None else kind_of(kind.item)
        for inner in item.models:
            if inner not in _LISTS_OF_THEIR_OWN:
                step = "" if kind.item is None else "[]" if describe(kind) == "a list" else ".NAME"
                yield from _keys(inner, f"{prefix}{key}{step}.")


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


def families_list(declarations: Iterable[Declaration], *, of_apps: bool = True) -> str:
    """Return the families; `of_apps` leaves out the labels `account` and `app_id`, which all of them have."""
    described = []
    for declaration in declarations:
        labels = ", ".join(label.name for label in (declaration.labels[2:] if of_apps else declaration.labels))
        name = f"`{declaration.name}{{{labels}}}`" if labels else f"`{declaration.name}`"
        marks = [_MARKS[declaration.kind]] if declaration.kind in _MARKS else []
        marks += [] if declaration.stability == "stable" else [declaration.stability]
        name += f" ({', '.join(marks)})" if marks else ""
        described.append((name, f"{declaration.help} {declaration.note}".replace(_SAID_ONCE, "").strip()))
    return entries(described)


def labels_list(declarations: Iterable[Declaration]) -> str:
    """Return the labels; one that differs between families has an entry for each of its meanings."""
    users: dict[Label, list[str]] = {}
    for declaration in declarations:
        for label in declaration.labels:
            users.setdefault(label, []).append(declaration.name)
    ambiguous = {label.name for label in users if sum(other.name == label.name for other in users) > 1}
    described = []
    for label in sorted(users, key=lambda label: label.name):
        where = f" of {code(users[label])}" if label.name in ambiguous and len(users[label]) == 1 else ""
        values = _values(label)
        first, mark, more = label.meaning.partition(";")
        first = f"{first.removesuffix('.')} ({values}){mark or '.'}" if values else f"{first}{mark}"
        described.append((f"`{label.name}`{where}", first + more))
    return entries(described)


def _values(label: Label) -> str:
    """Return the closed set of a label's values, if it has one; most of the states by those that are missing."""
    missing = set(State) - set(label.values)
    if 0 < len(missing) < len(label.values) and set(label.values) < set(State):
        return f"a state of `rtcmpu_collection_state` except {code(one for one in State if one in missing)}"
    values = label.values if len(label.values) <= _MOST_VALUES else (*label.values[:3], "…")
    return code(values)


def variables_list() -> str:
    """Return the variables and their fields; expectations of a type have one entry."""
    described = []
    for path, fact in walk():
        if fact.group is ExpectFacts:
            described += [(f"`{path}` ({_type_of_fact(fact)})", fact.description), *_expectations(path)]
        elif not path.startswith(f"{_EXPECTATIONS}."):
            described.append((f"`{path}` ({_type_of_fact(fact)})", fact.description))
    return entries(described)


def _expectations(path: str) -> Iterator[tuple[str, str]]:
    """Yield the expectations of each type."""
    names: dict[str, list[Fact]] = {}
    for fact in facts_of(ExpectFacts):
        names.setdefault(_type_of_fact(fact), []).append(fact)
    for kind, facts in names.items():
        first, *others = facts
        fields = [] if first.group is None else facts_of(first.group)
        names_of_kind = ", ".join((f"`{path}.{first.name}`", *(f"`{fact.name}`" for fact in others)))
        means = " ".join(f"`{field.name}` ({_type_of_fact(field)}): {field.description}" for field in fields)
        yield f"{names_of_kind} ({kind})", means or "As configured."


def _type_of_fact(fact: Fact) -> str:
    """Return a field's type as CEL has it; a question mark follows if the field can be absent."""
    name = "fields" if fact.kind is FactType.GROUP else fact.kind
    return (f"list of {name}" if fact.is_list else name) + ("?" if fact.is_optional else "")


def rules_list(rules: Iterable[Rule]) -> str:
    """Return the rules, each with its severity where it is not that of most."""
    usual = "warning"
    names = ((f"`{rule.name}`" + ("" if rule.severity == usual else f" ({rule.severity})"), rule) for rule in rules)
    return entries((name, f"{rule.title}.") for name, rule in names)
