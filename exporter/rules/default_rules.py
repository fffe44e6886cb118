"""The rules that are part of the package, in rule files as everyone can write them."""

from importlib import resources
from typing import Final

from msgspec import structs

from exporter.rules.rule import Rule
from exporter.rules.rule_files import parse_rules

FILE: Final = "default_rules.yml"
SOURCE: Final = "default"
"""The `source` of each default rule."""


def default_rules() -> tuple[Rule, ...]:
    """Return the rules that are on by default, in the order of their file."""
    return packaged_rules(FILE, SOURCE)


def packaged_rules(file: str, source: str) -> tuple[Rule, ...]:
    """Return the rules of one of the package's files."""
    text = resources.files("exporter.rules").joinpath(file).read_text(encoding="utf-8")
    return tuple(structs.replace(rule, source=source) for rule in parse_rules(text, file))
