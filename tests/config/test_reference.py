"""The reference of the configuration has every key."""

from pathlib import Path

import pytest
from msgspec import Struct

from exporter.config.credentials import Credentials
from exporter.config.model import Account, App, Buckets, Collection, Config, Metrics, Quota
from exporter.config.policy_model import Expect, Policy, Range, RuleSwitch
from exporter.config.reference import configuration_markdown
from exporter.config.shapes import Key, keys_of

DOCS = Path(__file__).parent.parent.parent / "docs"
MAPPINGS: tuple[type[Struct], ...] = (
    Config, Account, App, Quota, Expect, Range, Collection, Policy, RuleSwitch, Metrics, Buckets,
    *Credentials.__args__,
)  # fmt: skip
KEYS = [(struct, key) for struct in MAPPINGS for key in keys_of(struct)]


@pytest.mark.parametrize(("struct", "key"), KEYS, ids=lambda value: getattr(value, "name", None) or value.__name__)
def test_every_key_is_described(struct: type[Struct], key: Key) -> None:
    """Each key of the model has a meaning, and stands in the reference with it."""
    assert key.description, struct
    line = f"| {key.description} |\n"
    assert any(row.startswith(f"| `{key.name}`") and row.endswith(line) for row in lines())


def lines() -> list[str]:
    """Return the lines of the reference, each with its end."""
    return configuration_markdown().splitlines(keepends=True)


def test_tables_have_one_width() -> None:
    """No text breaks a table: every row has four columns."""
    assert {row.replace("\\|", "").count("|") for row in lines() if row.startswith("|")} == {5}


def test_the_written_reference_is_the_generated_one() -> None:
    """The document is up to date."""
    assert (DOCS / "configuration.md").read_text(encoding="utf-8") == configuration_markdown()
