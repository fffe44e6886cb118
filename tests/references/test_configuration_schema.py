"""The JSON Schemas for editors agree with the loaders."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from exporter.config.mistakes import ConfigError
from exporter.rules.rule_loader import load
from tests.references.configuration_schema import Schema, apps_schema, json_schema, rules_schema
from tests.support.configurations import read_yaml

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests/config"
GOOD = sorted((CORPUS / "good").glob("*.yml"))
REFUSED_BY_THE_LOADER_ALONE = {
    "alias-bomb", "app-file-missing", "app-files", "ca-file", "ca-file-rates", "comments-only", "control-character",
    "duplicate-account", "duplicate-app", "duplicate-key", "interval-longer", "merge-key", "no-apps", "not-utf8",
    "rate-of-group", "recursive-alias", "stale-after", "sweep-shorter", "syntax-bracket", "syntax-indent",
    "syntax-quote", "syntax-tab", "tag", "too-deep", "two-documents", "unknown-alias", "key-not-a-name",
    "rate-not-finite", "expect-ranges", "environment", "duration-bounds", "endpoint", "buckets", "storage-file",
    "sharing-alone", "sharing-sum",
}  # fmt: skip
"""Places, files, sums, the environment, bounds of durations: what a schema can't or need not know."""
BAD = [path for path in sorted((CORPUS / "bad").glob("*.yml")) if path.stem not in REFUSED_BY_THE_LOADER_ALONE]


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    """Make the validator."""
    return jsonschema.Draft202012Validator(json_schema())


def test_the_schema_is_a_schema() -> None:
    """It is valid by its own dialect."""
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_file_is_valid(validator: jsonschema.Draft202012Validator, path: Path) -> None:
    """What the loader accepts an editor does not underline."""
    validator.validate(read_yaml(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_file_is_not_valid(validator: jsonschema.Draft202012Validator, path: Path) -> None:
    """What is wrong in itself an editor underlines."""
    assert not validator.is_valid(read_yaml(path.read_text(encoding="utf-8")))


WHOLE = """
accounts: [{name: a, apps: [{id: a, quota: {single: 1}, expect: {tasks: {min: 1}}}], credentials: {type: ecs_ram_role}}]
collection: {interval: 10s}
policy: {rules: {gop-too-long: {enabled: false}}}
metrics: {per_task: {enabled: true}, buckets: {panes: [1]}}
"""
APP = ("accounts", 0, "apps", 0)


@pytest.mark.parametrize(
    "place",
    [
        (), ("accounts", 0), APP, (*APP, "quota"), (*APP, "expect"), (*APP, "expect", "tasks"),
        ("accounts", 0, "credentials"), ("collection",), ("policy",), ("policy", "rules", "gop-too-long"), ("metrics",),
        ("metrics", "per_task"), ("metrics", "buckets"),
    ],
    ids=lambda place: str(place[-1:]),
)  # fmt: skip
def test_unknown_keys_are_refused_everywhere(
    validator: jsonschema.Draft202012Validator, tmp_path: Path, place: tuple[str | int, ...]
) -> None:
    """An unknown key at any level is refused by the schema and the loader."""
    whole = part = read_yaml(WHOLE)
    validator.validate(whole)
    for step in place:
        part = part[step]
    part["surprise"] = 1
    assert not validator.is_valid(whole)
    file = tmp_path / "file.yml"
    file.write_text(yaml.safe_dump(whole), encoding="utf-8")
    with pytest.raises(ConfigError, match="unknown key"):
        load(file, {})


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        (rules_schema(), ROOT / "exporter/rules/default_rules.yml"),
        (rules_schema(), ROOT / "deploy/examples/rules/agreed.yml"),
        (rules_schema(), ROOT / "deploy/kustomize/overlays/production/agreed.yml"),
        (rules_schema(), ROOT / "deploy/compose/exporter/rules/demo.yml"),
        (apps_schema(), ROOT / "deploy/examples/apps/events.yml"),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else "",
)
def test_files_of_rules_and_apps_have_a_schema(schema: Schema, path: Path) -> None:
    """The default rules and the examples are valid; an unknown key is not."""
    validator = jsonschema.Draft202012Validator(schema)
    document = json.loads(json.dumps(read_yaml(path.read_text(encoding="utf-8")), default=str))
    validator.validate(document)
    (document["rules"] if isinstance(document, dict) else document)[0]["no_such_key"] = 1
    assert not validator.is_valid(document)
