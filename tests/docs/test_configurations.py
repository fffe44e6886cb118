"""Every piece of YAML that the documents show is right for anyone who reads it."""

from collections import Counter
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import trustme
import yaml
from msgspec.structs import replace

from exporter.commands.rule_commands import run_cases
from exporter.config.model import Config
from exporter.config.section import keys_of
from exporter.core.regular_file import SeenFiles
from exporter.rules import rule_loader as loading
from exporter.rules.rule import Outcome
from exporter.simulator.simulation import demo_service
from exporter.web.webconfig.web_config import WebConfigFile, read_web_config
from tests.deploy.manifests import CI_VALUES
from tests.docs.documents import Block, blocks
from tests.references.configuration_schema import json_schema
from tests.support.certificates import write_server_files
from tests.support.configurations import read_yaml
from tests.support.evaluated_rows import evaluate_rows
from tests.support.processes import ROOT
from tests.support.virtual_time import SetClock

CONFIGURATION: Final = frozenset(keys_of(Config))
WEB_CONFIGURATION: Final = frozenset(keys_of(WebConfigFile))
CHART: Final = "deploy/helm/"  # its values are tested with the chart
BLOCKS: Final = [block for block in blocks("yaml") if not block.place.startswith(CHART)]
LEAST_ACCOUNT: Final = "accounts: [{name: production, apps: [{id: live-main}]}]\n"
LEAST_RULE: Final = "rules: [{name: any, title: Any, severity: info, expect: 'true'}]\n"
ENVIRONMENT: Final = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "an-id"}


def _kind(content: Any) -> str:
    """Say what a block is, by its keys."""
    if isinstance(content, list):
        return "apps"
    keys = set(content)
    if keys == {"rules"}:
        return "rules"
    if keys <= CONFIGURATION:
        return "configuration"
    return "web configuration" if keys <= WEB_CONFIGURATION else "unknown"


def _of_kind(kind: str) -> pytest.MarkDecorator:
    chosen = [block for block in BLOCKS if _kind(read_yaml(block.text)) == kind]
    return pytest.mark.parametrize("block", chosen, ids=lambda block: block.place)


def test_every_block_is_of_a_kind_that_is_tested_here() -> None:
    """No YAML of the documents is shown without being read by the program."""
    kinds = {block.place: _kind(read_yaml(block.text)) for block in BLOCKS}
    assert "unknown" not in kinds.values(), kinds
    assert set(kinds.values()) == {"apps", "rules", "configuration", "web configuration"}


@_of_kind("configuration")
def test_configurations_load(block: Block, tmp_path: Path) -> None:
    """Each configuration is read without a mistake, and valid for editors; a part of one beside the least account."""
    for name, text in (("apps/east.yml", "[{id: live-east}]"), ("rules/agreed.yml", LEAST_RULE)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    file = tmp_path / "rtcmpu.yml"
    file.write_text(block.text if "accounts:" in block.text else LEAST_ACCOUNT + block.text)

    assert loading.load(file, ENVIRONMENT).config.accounts[0].apps
    jsonschema.validate(read_yaml(file.read_text()), json_schema(), jsonschema.Draft202012Validator)


@_of_kind("apps")
def test_lists_of_apps_load(block: Block, tmp_path: Path) -> None:
    """Each list of apps is one that `app_files` can name."""
    (tmp_path / "apps.yml").write_text(block.text)
    file = tmp_path / "rtcmpu.yml"
    file.write_text("accounts: [{name: production, app_files: [apps.yml]}]")

    assert loading.load(file, {}).config.accounts[0].apps


def _rule_samples() -> dict[str, str]:
    """Return each file of rules that is shown or shipped, by its place: documents, examples, values of the chart."""
    samples = {block.place: block.text for block in BLOCKS if _kind(read_yaml(block.text)) == "rules"}
    samples |= {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "deploy").rglob("*/agreed.yml")}
    samples |= {
        str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "deploy/compose").rglob("rules/*.yml")
    }
    values = {block.place: block.text for block in blocks("yaml") if block.place.startswith(CHART)}
    values |= {f"{CHART}{path.name}": path.read_text() for path in CI_VALUES.values()}
    for place, text in values.items():
        files = read_yaml(text).get("ruleFiles", {})
        samples |= {f"{place} {name}": yaml.safe_dump(content) for name, content in files.items()}
    return samples


def test_rules_pass_their_tests_and_fit_the_demonstration(tmp_path: Path) -> None:
    """Each rule has tests and passes them, and can be evaluated for every task of the demonstration."""
    rules = []
    for number, (place, text) in enumerate(_rule_samples().items()):
        (tmp_path / f"{number}.yml").write_text(text)
        for rule in loading.load_rules([tmp_path / f"{number}.yml"]):
            results = list(run_cases(rule))
            assert results, (place, rule.rule.name)
            assert [result for result in results if not result.passed] == [], place
            rules.append(replace(rule, rule=replace(rule.rule, name=f"{place} {rule.rule.name}")))
    service = demo_service(now=SetClock().now)
    evaluated = evaluate_rows({app_id: service.listed(app_id) for app_id in service.fleet.apps}, rules)
    outcomes = {rule.rule.name: Counter[Outcome]() for rule in rules}
    for of_app in evaluated.values():
        for name, of_tasks in of_app.items():
            outcomes[name].update(of_tasks.values())
    for name, counts in outcomes.items():
        assert counts[Outcome.ERROR] == 0, name
        assert counts[Outcome.PASS] + counts[Outcome.VIOLATION] > 0, name


def test_the_samples_are_found() -> None:
    """Rules of documents, examples, kustomize, Compose and both places of the chart are among them."""
    places = _rule_samples()
    shown = (
        "README.md",
        "docs/",
        "deploy/examples",
        "deploy/kustomize",
        "deploy/compose",
        f"{CHART}rtc",
        f"{CHART}full",
    )
    for begin in shown:
        assert any(place.startswith(begin) for place in places), begin


@_of_kind("web configuration")
def test_web_configurations_can_be_served_with(block: Block, tmp_path: Path) -> None:
    """Each web configuration is read without a mistake, beside the certificates that it names."""
    write_server_files(tmp_path, trustme.CA())
    file = tmp_path / "web.yml"
    file.write_text(block.text)

    assert read_web_config(file, SeenFiles()).tls is not None
