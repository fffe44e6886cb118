"""The reference of the configuration has every key."""

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from exporter.config.credential_kinds import KINDS
from exporter.config.model import Account, App, Buckets, Collection, Config, Metrics, Quota
from exporter.config.policy_model import Expect, Policy, Range, RuleSwitch
from exporter.config.section import keys_of
from tests.references.configuration_reference import configuration_markdown

MAPPINGS: tuple[type[BaseModel], ...] = (
    Config, Account, App, Quota, Expect, Range, Collection, Policy, RuleSwitch, Metrics, Buckets,
    *KINDS,
)  # fmt: skip
KEYS = [(model, key, field) for model in MAPPINGS for key, field in keys_of(model).items() if key != "type"]


@pytest.mark.parametrize(("model", "key", "field"), KEYS)
def test_every_key_is_described(model: type[BaseModel], key: str, field: FieldInfo) -> None:
    """Each key of the model has a meaning, and the reference has it."""
    assert field.description, model
    line = f"| {field.description} |\n"
    assert any(row.startswith(f"| `{key}`") and row.endswith(line) for row in lines())


def lines() -> list[str]:
    """Return the lines of the reference, each with its end."""
    return configuration_markdown().splitlines(keepends=True)


def test_tables_have_one_width() -> None:
    """No text breaks a table: every row has four columns."""
    assert {row.replace("\\|", "").count("|") for row in lines() if row.startswith("|")} == {5}
