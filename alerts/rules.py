"""Recording rules and alerts as values, and the files that Prometheus reads."""

from collections.abc import Iterable, Mapping, Sequence
from textwrap import dedent, indent
from typing import Any, Final, TypeAlias

import yaml
from msgspec import Struct

_UNITS: Final = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


class Record(Struct, frozen=True):
    """A recording rule."""

    name: str
    """level:metric:operations, as Prometheus recommends."""
    expression: str


class Alert(Struct, frozen=True, kw_only=True):
    """An alerting rule; texts may hold templates."""

    name: str
    severity: str
    expression: str
    for_seconds: int = 0
    keep_firing_seconds: int = 0
    annotations: Mapping[str, str]


Rule: TypeAlias = Record | Alert


class Group(Struct, frozen=True):
    """Rules that are evaluated one after another, at one and the same moment."""

    name: str
    rules: Sequence[Rule]


def duration(seconds: int) -> str:
    """Return a duration as Prometheus writes it: `1d`, `5m`, `1h30m`."""
    parts = []
    for unit, size in _UNITS:
        count, seconds = divmod(seconds, size)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0s"


def promql(text: str, **parts: object) -> str:
    """Return an expression without the indentation of the source.

    Args:
        text: The expression; `<name>` stands for a part.
        parts: What to put there. One of several lines keeps the indentation of its place.
    """
    lines = []
    for line in dedent(text).strip().splitlines():
        filled = line
        for name, part in parts.items():
            margin = " " * (len(line) - len(line.lstrip()))
            filled = filled.replace(f"<{name}>", indent(str(part), margin).lstrip())
        lines.append(filled)
    return "\n".join(lines)


def rule_file(comment: str, groups: Iterable[Group]) -> str:
    """Return the text of a rule file, headed by a comment."""
    document = {"groups": [{"name": group.name, "rules": [_as_yaml(rule) for rule in group.rules]} for group in groups]}
    heading = indent(comment.strip(), "# ", lambda _: True)
    body = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_NO_FOLDING)
    return f"{heading}\n{body}"


def _as_yaml(rule: Rule) -> dict[str, Any]:
    if isinstance(rule, Record):
        return {"record": rule.name, "expr": rule.expression}
    entry: dict[str, Any] = {"alert": rule.name, "expr": rule.expression}
    if rule.for_seconds:
        entry["for"] = duration(rule.for_seconds)
    if rule.keep_firing_seconds:
        entry["keep_firing_for"] = duration(rule.keep_firing_seconds)
    return entry | {"labels": {"severity": rule.severity}, "annotations": dict(rule.annotations)}


_NO_FOLDING: Final = 10_000


class _Dumper(yaml.SafeDumper):
    """Writes expressions of several lines as they are, and lists indented."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - the base's
        """Indent lists below their key too."""
        super().increase_indent(flow, indentless=False)

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Use a block for text of several lines."""
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Dumper.add_representer(str, _Dumper.represent_str)
