"""The rules of the package: each does what it says, and its own tests would notice if it did not."""

import re
from collections.abc import Mapping
from itertools import chain

import msgspec
import pytest
from hypothesis import given, settings

from exporter.aliyun.response import read_row
from exporter.core import task
from exporter.rules.cel_language import Activation, Language
from exporter.rules.compiled_rule import CompiledRule, compile_rule
from exporter.rules.cost import PUSH_AUTH
from exporter.rules.expectations import SOURCE as EXPECTED
from exporter.rules.expectations import ExpectationRules
from exporter.rules.facts import facts
from exporter.rules.rule import Case, Outcome, Rule, Severity
from exporter.rules.rule_files import PROFILE_SOURCE, SOURCE, default_rules, packaged_rules, profile_rules
from exporter.rules.rule_tests import run_cases, variables_of
from tests.support.evaluated_rows import evaluate_rows
from tests.support.examples import examples
from tests.support.expression_mutants import mutants
from tests.support.generated import any_struct, documented_rows
from tests.support.rows import changed, example_row

LANGUAGE = Language()
RULES = {rule.name: compile_rule(rule, LANGUAGE) for rule in default_rules()}
PROFILES = {profile: [compile_rule(rule, LANGUAGE) for rule in rules] for profile, rules in profile_rules().items()}
OTHERS = (*chain.from_iterable(PROFILES.values()), *ExpectationRules(LANGUAGE).rules)
PACKAGED = {**RULES, **{rule.rule.name: rule for rule in OTHERS}}
each_rule = pytest.mark.parametrize("rule", PACKAGED.values(), ids=PACKAGED)


@each_rule
def test_its_own_tests_pass(rule: CompiledRule) -> None:
    """Each test that is beside the rule comes out as it says."""
    assert [result for result in run_cases(rule, LANGUAGE) if not result.passed] == []


@each_rule
def test_every_outcome_that_it_can_have_is_tested(rule: CompiledRule) -> None:
    """There is a pass and a violation of each rule, and a task to which it does not apply where it has a `when`."""
    possible = {Outcome.PASS, Outcome.VIOLATION} | ({Outcome.NOT_APPLICABLE} if rule.when else set())
    assert {case.outcome for case in rule.rule.tests} == possible


@each_rule
@pytest.mark.parametrize("key", ["when", "expect"])
def test_its_own_tests_notice_every_small_mistake(rule: CompiledRule, key: str) -> None:
    """A comparison turned or shifted, a number moved, a condition dropped: some test of the rule fails."""
    assert survivors(rule.rule, key) == []


def test_weak_tests_would_be_noticed() -> None:
    """A rule that lacks one boundary among its tests has mutants that survive."""
    rule = RULES["video-gop-out-of-range"].rule
    weaker = msgspec.structs.replace(rule, tests=tuple(one for one in rule.tests if gop_of(one) != 60))
    assert "task.video.gop >= 1 && task.video.gop < 60" in survivors(weaker, "expect")


@each_rule
def test_what_people_read_is_there(rule: CompiledRule) -> None:
    """Each rule says why anyone should care and what to do, and gives a message for each violation of its tests."""
    assert re.fullmatch("[a-z0-9-]+", rule.rule.name)
    assert rule.rule.source in {SOURCE, PROFILE_SOURCE, EXPECTED}
    for text in (rule.rule.reason, rule.rule.remedy):
        assert text.endswith(".")
        assert 1 <= len(re.findall(r"[.;:](?= |$)", text)) <= 4
    for case in rule.rule.tests:
        if case.outcome is Outcome.VIOLATION:
            message = rule.text_for(LANGUAGE.activation(variables_of(case)))
            assert message
            assert "no message" not in message


def test_every_rule_of_a_profile_names_its_source() -> None:
    """Each profile has rules, each rule belongs to one, and says which page of the platform asks for it."""
    placed = [rule.name for rules in profile_rules().values() for rule in rules]
    assert all(PROFILES.values())
    assert sorted(placed) == sorted(rule.name for rule in packaged_rules("profiles.yml", PROFILE_SOURCE))
    for profile, rules in PROFILES.items():
        for rule in rules:
            assert "Source: https://" in rule.rule.reason, rule.rule.name
            assert rule.uses == {"task"}, profile


def test_rules_about_other_tasks_and_keys_need_more_than_the_configuration() -> None:
    """Every other rule is evaluated once for each distinct configuration."""
    assert {name: rule.uses for name, rule in RULES.items() if rule.uses != {"task"}} == {
        "push-stream-shared": {"task", "shared_outputs"},
        "ali-cdn-flag-mismatch": {"task", "cdn_flag_conflicts"},
        "push-auth-expired": {"task", PUSH_AUTH},
        "push-auth-expired-at-start": {"task", PUSH_AUTH},
        "push-auth-expiring": {"task", PUSH_AUTH},
        "push-auth-malformed": {"task", PUSH_AUTH},
        "push-auth-validity-unknown": {"task", PUSH_AUTH},
    }


@pytest.mark.parametrize(
    ("name", "part", "field", "documented"),
    [
        ("region-unknown", "", "region", task.REGIONS),
        ("mix-mode-unknown", "", "mix_mode", task.MIX_MODES),
        ("video-codec-unknown", "video", "codec", task.VIDEO_CODECS),
        ("video-profile-unknown", "video", "profile", task.VIDEO_PROFILES),
        ("video-preset-unknown", "video", "preset", task.VIDEO_PRESETS),
        ("audio-channels-undocumented", "audio", "channels", task.AUDIO_CHANNELS),
        ("audio-sample-rate-undocumented", "audio", "sample_rate_hertz", task.AUDIO_SAMPLE_RATES_HERTZ),
    ],
)
def test_what_is_documented_here_is_documented_there(
    name: str, part: str, field: str, documented: tuple[str | int, ...]
) -> None:
    """The rules about closed sets let pass what counts as a known value elsewhere."""
    for value in documented:
        given = {part: {field: value}} if part else {field: value}
        assert evaluated(RULES[name], activation_of(given)) is Outcome.PASS


def test_the_fields_that_rules_name_are_fields() -> None:
    """A rule that asks whether a field is unreadable or unknown names one that there is."""
    expressions = [text for rule in RULES.values() for text in (rule.rule.when, rule.rule.expect)]
    named = {field for text in expressions for field in re.findall(r'"([A-Za-z.]+)" in task', text)}
    named.update(re.findall(r'"([A-Za-z.]+)"', RULES["values-unknown"].rule.expect))
    assert len(named) > 10
    assert named <= set(task.FIELDS)


@given(row=documented_rows())
@settings(max_examples=examples(200))
def test_every_row_can_be_evaluated(row: Mapping[str, object]) -> None:
    """Whatever is absent, odd or unreadable in a row, no rule fails to be evaluated, its message included."""
    read = read_row(msgspec.json.encode(row), app_id="a")
    assert read is not None
    assert_can_be_evaluated(read.configuration)


@given(configuration=any_struct(task.Configuration))
@settings(max_examples=examples(60))
def test_every_configuration_can_be_evaluated(configuration: task.Configuration) -> None:
    """The same holds for configurations that no row could mean."""
    assert_can_be_evaluated(configuration)


def test_the_vendors_own_example_violates_three_rules() -> None:
    """It has a URL in both fields, one of them at example.com, and TranscodeParams in a single-stream task."""
    row = msgspec.json.encode(example_row())
    outcomes = evaluate_rows({"yourAppId": [row]}, list(RULES.values()), LANGUAGE)["yourAppId"]
    violated = {name for name, outcome in outcomes.items() if outcome["yourTaskId"] is Outcome.VIOLATION}
    assert violated == {"push-url-in-both-fields", "push-host-not-public", "single-with-transcoding"}


def test_what_is_unreadable_is_not_called_missing() -> None:
    """A value that is there and can't be read is one finding, not also the finding that it is absent."""
    for path, value, rule in (
        ("MaxIdleTime", "never", "idle-timeout-missing"),
        ("TranscodeParams", "odd", "mixed-without-transcoding"),
        ("TranscodeParams.UserInfos", "odd", "everyone-mixed"),
        ("SingleSubParams", "odd", "single-without-source"),
        ("MultiStreamURL", "odd", "push-url-missing"),
    ):
        mode = "0" if path == "SingleSubParams" else "1"
        row = changed(changed(changed(example_row(), "MixMode", mode), "StreamURL", ""), path, value)
        outcomes = evaluate_rows({"yourAppId": [msgspec.json.encode(row)]}, list(RULES.values()), LANGUAGE)["yourAppId"]
        assert outcomes[rule] == {"yourTaskId": Outcome.NOT_APPLICABLE}
        assert outcomes["values-unreadable"] == {"yourTaskId": Outcome.VIOLATION}


def assert_can_be_evaluated(configuration: task.Configuration) -> None:
    """Check a configuration against every rule."""
    activation = LANGUAGE.activation(
        {"task": facts(configuration), "shared_outputs": len(configuration.outputs), "cdn_flag_conflicts": 1}
    )
    for name, rule in RULES.items():
        outcome = evaluated(rule, activation)
        assert outcome is not Outcome.ERROR, name
        if outcome is Outcome.VIOLATION:
            assert "no message" not in rule.text_for(activation), name


def survivors(rule: Rule, key: str) -> list[str]:
    """Return the mutants of an expression with which all of the rule's own tests pass."""
    found = []
    for mutant in mutants(getattr(rule, key)) if getattr(rule, key) else ():
        mutated = compile_rule(msgspec.structs.replace(rule, **{key: mutant}), LANGUAGE)
        if all(result.passed for result in run_cases(mutated, LANGUAGE)):
            found.append(mutant)
    return found


def gop_of(case: Case) -> object:
    """Return the GOP that a case gives."""
    return case.variables["task"]["video"].get("gop")


def activation_of(given: Mapping[str, object]) -> Activation:
    """Return what rules see of a task that is given in part."""
    return LANGUAGE.activation(variables_of(Case(variables={"task": given}, outcome=Outcome.PASS)))


def evaluated(rule: CompiledRule, activation: Activation) -> Outcome:
    """Return what comes of a rule."""
    return rule.evaluate(activation).outcome


def test_severities_are_as_agreed() -> None:
    """Critical is what can't work or reveals a secret; info is what may well be intended."""
    assert {name for name, rule in RULES.items() if rule.rule.severity is Severity.CRITICAL} == {
        "mixed-without-transcoding",
        "push-auth-expired-at-start",
        "push-url-missing",
        "push-url-with-password",
        "single-without-source",
    }
    assert {name for name, rule in RULES.items() if rule.rule.severity is Severity.INFO} == {
        "ali-cdn-flag-mismatch",
        "audio-only-with-video-settings",
        "everyone-mixed",
        "gop-too-short",
        "h265-over-rtmp",
        "idle-timeout-missing",
        "push-auth-expiring",
        "push-auth-validity-unknown",
    }
