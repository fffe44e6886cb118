"""The rules that are on by default: package data, written as everyone's own rule files are."""

from importlib import resources
from typing import Final

import msgspec

from exporter.policy.rule import Rule
from exporter.policy.rule_files import parse_rules

FILE: Final = "default_rules.yml"
SOURCE: Final = "default"
"""The `source` of each of these rules."""


def default_rules() -> tuple[Rule, ...]:
    """Return the rules that come along, in the order of their file; they are read anew each time."""
    text = resources.files("exporter.policy").joinpath(FILE).read_text(encoding="utf-8")
    return tuple(msgspec.structs.replace(rule, source=SOURCE) for rule in parse_rules(text, FILE))
