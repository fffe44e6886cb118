"""The reference of rules says all there is, and its examples work."""

import re
from pathlib import Path

import pytest

from exporter.config.section import keys_of
from exporter.rules import rule_loader as loading
from exporter.rules.cel_language import Language
from exporter.rules.rule import Outcome, Severity
from exporter.rules.rule_files import WrittenRule, default_rules
from exporter.rules.rule_tests import run_cases
from tests.references.rules_reference import CONFIGURATION_EXAMPLE, RULE_FILE_EXAMPLE, RULE_KEYS, rules_markdown

TEXT = rules_markdown()


@pytest.fixture
def loaded(tmp_path: Path) -> loading.LoadedRules:
    """The example of a configuration, with the example of a rule file beside it."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "example.yml").write_text(RULE_FILE_EXAMPLE)
    (tmp_path / "rtcmpu.yml").write_text(CONFIGURATION_EXAMPLE)
    return loading.load(tmp_path / "rtcmpu.yml", {})


def test_the_examples_are_in_the_reference() -> None:
    """What is tested here is what people read."""
    assert re.findall("```yaml\n(.*?)```\n", TEXT, re.DOTALL) == [RULE_FILE_EXAMPLE, CONFIGURATION_EXAMPLE]


def test_the_example_of_a_rule_file_works(tmp_path: Path) -> None:
    """It is read without a mistake, its own tests pass, and they show every outcome but an error."""
    (tmp_path / "example.yml").write_text(RULE_FILE_EXAMPLE)
    rules = loading.load_rules([tmp_path / "example.yml"])
    results = [result for rule in rules for result in run_cases(rule, Language())]
    assert len(results) == 7
    assert [result for result in results if not result.passed] == []
    assert {result.outcome for result in results} == set(Outcome) - {Outcome.ERROR}


def test_the_example_of_a_configuration_works(loaded: loading.LoadedRules) -> None:
    """It takes in the rules of the file, switches one rule off, and changes the severity of two."""
    in_force = {rule.rule.name for rule in loaded.rule_set.rules}
    assert in_force - {rule.name for rule in default_rules()} == {"video-bitrate-agreed", "forgotten-task"}
    assert [off.rule.name for off in loaded.rule_set.off if off.rule.source != "profile"] == ["gop-too-long"]
    severities = {rule.name: rule.severity for rule in loaded.rule_set.all_rules()}
    assert severities["idle-timeout-missing"] == severities["expect-push-hosts"] == Severity.WARNING
    assert severities["expect-region"] == Severity.CRITICAL


def test_every_key_of_a_rule_is_explained() -> None:
    """The keys are those that the file's format knows, in its order."""
    assert list(RULE_KEYS) == list(keys_of(WrittenRule))


def test_every_outcome_is_explained() -> None:
    """The outcomes are those that there are."""
    for outcome in Outcome:
        assert f"| `{outcome}` |" in TEXT


def test_links_within_the_reference_lead_somewhere() -> None:
    """Each link to a section has a heading that makes its anchor."""
    headings = re.findall("^#+ (.*)$", TEXT, re.MULTILINE)
    anchors = {re.sub("[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = re.findall(r"\]\(#([^)]*)\)", TEXT)
    assert len(links) > 40
    assert set(links) <= anchors


@pytest.mark.parametrize(
    "expression",
    [
        "has(task.video.gop)",
        'task.region in ["a", "b"] && size(task.panes) > 0',
        'task.outputs.all(o, o.scheme == "rtmps") || task.outputs.exists(o, has(o.is_ali_cdn))',
        'task.mix_mode.startsWith("a") || task_id.endsWith("a") || task_id.contains("a") || task_id.matches("^a.*z$")',
        'app.name.lowerAscii() == "a" && task.outputs.filter(o, o.host != "").map(o, o.host).join(", ") == ""',
        'now - first_seen > duration("36h") && last_changed < timestamp("2027-01-31T00:00:00Z")',
        'int(task_id) > 1 && double(task_id) > 1.0 && math.round(1.4) == 1.0 && string(1) == "1"',
        "has(task.sei) && has(task.sei.payload_type) ? task.audio_only : !task.audio_only",
    ],
)
def test_what_is_said_of_expressions_is_so(expression: str) -> None:
    """Everything that the reference names as part of the language compiles."""
    assert Language().compile_condition(expression).uses
