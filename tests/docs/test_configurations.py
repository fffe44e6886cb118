"""Every piece of YAML that the documents show is right for anyone who reads it."""

from pathlib import Path
from typing import Any, Final

import pytest
import trustme
import yaml

from exporter.config.model import Config
from exporter.config.section import keys_of
from exporter.core.regular_file import SeenFiles
from exporter.rules import rule_loader as loading
from exporter.rules.cel_language import Language
from exporter.rules.rule_tests import run_cases
from exporter.web.webconfig.web_config import read_web_config
from exporter.web.webconfig.web_config_model import WebConfigFile
from tests.support.certificates import write_server_files
from tests.support.documents import Block, blocks

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
    chosen = [block for block in BLOCKS if _kind(yaml.safe_load(block.text)) == kind]
    return pytest.mark.parametrize("block", chosen, ids=lambda block: block.place)


def test_every_block_is_of_a_kind_that_is_tested_here() -> None:
    """No YAML of the documents is shown without being read by the program."""
    kinds = {block.place: _kind(yaml.safe_load(block.text)) for block in BLOCKS}
    assert "unknown" not in kinds.values(), kinds
    assert set(kinds.values()) == {"apps", "rules", "configuration", "web configuration"}


@_of_kind("configuration")
def test_configurations_load(block: Block, tmp_path: Path) -> None:
    """Each configuration is read without a mistake; a part of one beside the least account."""
    for name, text in (("apps/east.yml", "[{id: live-east}]"), ("rules/agreed.yml", LEAST_RULE)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    file = tmp_path / "rtcmpu.yml"
    file.write_text(block.text if "accounts:" in block.text else LEAST_ACCOUNT + block.text)

    assert loading.load(file, ENVIRONMENT).config.accounts[0].apps


@_of_kind("apps")
def test_lists_of_apps_load(block: Block, tmp_path: Path) -> None:
    """Each list of apps is one that `app_files` can name."""
    (tmp_path / "apps.yml").write_text(block.text)
    file = tmp_path / "rtcmpu.yml"
    file.write_text("accounts: [{name: production, app_files: [apps.yml]}]")

    assert loading.load(file, {}).config.accounts[0].apps


@_of_kind("rules")
def test_rules_pass_their_tests(block: Block, tmp_path: Path) -> None:
    """Each rule file loads, has tests beside every rule, and passes them."""
    file = tmp_path / "rules.yml"
    file.write_text(block.text)

    for rule in loading.load_rules([file]):
        results = list(run_cases(rule, Language()))
        assert results
        assert [result for result in results if not result.passed] == []


@_of_kind("web configuration")
def test_web_configurations_can_be_served_with(block: Block, tmp_path: Path) -> None:
    """Each web configuration is read without a mistake, beside the certificates that it names."""
    write_server_files(tmp_path, trustme.CA())
    file = tmp_path / "web.yml"
    file.write_text(block.text)

    assert read_web_config(file, SeenFiles()).tls is not None
