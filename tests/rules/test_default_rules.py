"""The rules of the package: each does what it says, and its own tests would notice if it did not."""

import ast
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Final

import msgspec
import pytest
from hypothesis import given, settings

from exporter.commands.rule_commands import run_cases, variables_of
from exporter.core import task
from exporter.rules.cel_language import activation_of
from exporter.rules.cost import PUSH_AUTH
from exporter.rules.facts import facts
from exporter.rules.rule import Case, CompiledRule, Outcome, Rule, compile_rule
from exporter.rules.rule_files import PROFILE_SOURCE, SOURCE, default_rules, packaged_rules, profile_rules
from exporter.rules.rule_set import EXPECTED, expectation_rules
from tests.support.evaluated_rows import evaluate_rows
from tests.support.generated import any_struct, examples
from tests.support.rows import example_row
from tests.support.subtests import for_each

RULES = {rule.name: compile_rule(rule) for rule in default_rules()}
PROFILES = {profile: [compile_rule(rule) for rule in rules] for profile, rules in profile_rules().items()}
OTHERS = (*chain.from_iterable(PROFILES.values()), *map(compile_rule, expectation_rules()))
PACKAGED = {**RULES, **{rule.rule.name: rule for rule in OTHERS}}
for_each_rule = for_each(PACKAGED.values(), name=lambda rule: rule.rule.name)


@for_each_rule
def test_its_own_tests_pass(rule: CompiledRule) -> None:
    """Each test that is beside the rule comes out as it says."""
    assert [result for result in run_cases(rule) if not result.passed] == []


@for_each_rule
def test_every_outcome_that_it_can_have_is_tested(rule: CompiledRule) -> None:
    """There is a pass and a violation of each rule, and a task to which it does not apply where it has a `when`."""
    possible = {Outcome.PASS, Outcome.VIOLATION} | ({Outcome.NOT_APPLICABLE} if rule.when else set())
    assert {case.outcome for case in rule.rule.tests} == possible


@for_each_rule
def test_its_own_tests_notice_every_small_mistake(rule: CompiledRule) -> None:
    """A comparison turned or shifted, a number moved, a condition dropped: some test of the rule fails."""
    assert [*survivors(rule.rule, "when"), *survivors(rule.rule, "expect")] == []


def test_weak_tests_would_be_noticed() -> None:
    """A rule that lacks one boundary among its tests has mutants that survive."""
    rule = RULES["video-gop-out-of-range"].rule
    weaker = msgspec.structs.replace(rule, tests=tuple(one for one in rule.tests if "60" not in str(one.variables)))
    assert "task.video.gop >= 1 && task.video.gop < 60" in survivors(weaker, "expect")


@for_each_rule
def test_what_people_read_is_there(rule: CompiledRule) -> None:
    """Each rule says why anyone should care and what to do, and gives a message for each violation of its tests."""
    assert re.fullmatch("[a-z0-9-]+", rule.rule.name)
    assert rule.rule.source in {SOURCE, PROFILE_SOURCE, EXPECTED}
    for text in (rule.rule.reason, rule.rule.remedy):
        assert text.endswith(".")
        assert 1 <= len(re.findall(r"[.;:](?= |$)", text)) <= 4
    for case in rule.rule.tests:
        if case.outcome is Outcome.VIOLATION:
            message = rule.text_for(activation_of(variables_of(case)))
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
        variables = variables_of(Case(variables={"task": given}, outcome=Outcome.PASS))
        assert RULES[name].evaluate(activation_of(variables)).outcome is Outcome.PASS


def test_the_fields_that_rules_name_are_fields() -> None:
    """A rule that asks whether a field is unreadable or unknown names one that there is."""
    expressions = [text for rule in RULES.values() for text in (rule.rule.when, rule.rule.expect)]
    named = {field for text in expressions for field in re.findall(r'"([A-Za-z.]+)" in task', text)}
    named.update(re.findall(r'"([A-Za-z.]+)"', RULES["values-unknown"].rule.expect))
    assert len(named) > 10
    assert named <= set(task.FIELDS)


@given(configuration=any_struct(task.Configuration))
@settings(max_examples=examples(60))
def test_every_configuration_can_be_evaluated(configuration: task.Configuration) -> None:
    """The same holds for configurations that no row could mean."""
    assert_can_be_evaluated(configuration)


def test_the_vendors_own_example_violates_three_rules() -> None:
    """It has a URL in both fields, one of them at example.com, and TranscodeParams in a single-stream task."""
    row = msgspec.json.encode(example_row())
    outcomes = evaluate_rows({"yourAppId": [row]}, list(RULES.values()))["yourAppId"]
    violated = {name for name, outcome in outcomes.items() if outcome["yourTaskId"] is Outcome.VIOLATION}
    assert violated == {"push-url-in-both-fields", "push-host-not-public", "single-with-transcoding"}


def assert_can_be_evaluated(configuration: task.Configuration) -> None:
    """Check a configuration against every rule."""
    activation = activation_of(
        {"task": facts(configuration), "shared_outputs": len(configuration.outputs), "cdn_flag_conflicts": 1}
    )
    for name, rule in RULES.items():
        outcome = rule.evaluate(activation).outcome
        assert outcome is not Outcome.ERROR, name
        if outcome is Outcome.VIOLATION:
            assert "no message" not in rule.text_for(activation), name


def survivors(rule: Rule, key: str) -> list[str]:
    """Return the mutants of an expression with which all of the rule's own tests pass."""
    found = []
    for mutant in mutants(getattr(rule, key)) if getattr(rule, key) else ():
        mutated = compile_rule(msgspec.structs.replace(rule, **{key: mutant}))
        if all(result.passed for result in run_cases(mutated)):
            found.append(mutant)
    return found


_SWAPPED: Final[Mapping[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.Gt, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
}
_QUANTIFIED: Final = {"all": "exists", "exists": "all"}
_IN_PYTHON: Final = {"&&": "and", "||": "or", "!": "~"}
"""Signs of CEL in Python, where they bind alike: the rest of an expression is written in the same way."""


def mutants(expression: str) -> list[str]:
    """Return every mutant of an expression in CEL once.

    Each comparison is turned and shifted; each number is one more, one less, and moved by one in its last digit; each
    `&&` is an `||`, and the reverse; each of their operands is left out, and is negated; each `!` is left out; each
    element of a list is left out; `all` is `exists`, and the reverse; the whole is negated.
    """
    tree = ast.parse(_spelt(expression, r"&&|\|\||!(?!=)", _IN_PYTHON), mode="eval").body
    in_cel = {python: sign for sign, python in _IN_PYTHON.items()}
    changed = (_negated(tree), *_mutated(tree))
    return sorted({_spelt(ast.unparse(each), r"\band\b|\bor\b|~", in_cel) for each in changed})


def _spelt(expression: str, signs: str, spelling: Mapping[str, str]) -> str:
    """Return an expression in one line with other signs, but in its texts."""
    parts = re.compile(rf""""[^"]*"|'[^']*'|{signs}""")
    return parts.sub(lambda found: spelling.get(found[0], found[0]), " ".join(expression.split()))


def _mutated(node: ast.expr) -> Iterator[ast.expr]:
    """Yield an expression with each of its parts changed."""
    yield from _others(node)
    fields = dict(ast.iter_fields(node))
    for name, value in fields.items():
        parts = value if isinstance(value, list) else [value]
        for place, part in enumerate(parts):
            for other in _mutated(part) if isinstance(part, ast.expr) else ():
                changed = [*parts[:place], other, *parts[place + 1 :]] if isinstance(value, list) else other
                yield type(node)(**{**fields, name: changed})


def _others(node: ast.expr) -> Iterator[ast.expr]:
    """Yield what comes of changing an expression itself."""
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=right):
            yield from (ast.Compare(left, [other()], right) for other in _SWAPPED.get(type(operator), ()))
        case ast.Constant(value=int() | float() as number):
            decimals = len(str(number).partition(".")[2])
            for step in {1, 10**-decimals}:
                yield from (ast.Constant(round(number + each, decimals)) for each in (step, -step))
        case ast.BoolOp(op=operator, values=operands):
            yield from _other_operands(operator, operands)
        case ast.UnaryOp(op=ast.Invert(), operand=operand):
            yield operand
        case ast.List(elts=elements):
            yield from (ast.List([*elements[:place], *elements[place + 1 :]]) for place in range(len(elements)))
        case ast.Attribute(value=value, attr=name) if name in _QUANTIFIED:
            yield ast.Attribute(value, _QUANTIFIED[name])


def _other_operands(operator: ast.boolop, operands: list[ast.expr]) -> Iterator[ast.expr]:
    for place, value in enumerate(operands):
        before, after = operands[:place], operands[place + 1 :]
        yield _joined(operator, [*before, *after])
        yield _joined(operator, [*before, _negated(value), *after])
        if before and isinstance(operator, ast.And):
            yield ast.BoolOp(ast.Or(), [_joined(operator, before), _joined(operator, [value, *after])])
        elif before:
            yield _joined(operator, [*before[:-1], ast.BoolOp(ast.And(), [before[-1], value]), *after])


def _negated(node: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Invert(), node)


def _joined(operator: ast.boolop, operands: list[ast.expr]) -> ast.expr:
    return ast.BoolOp(operator, operands) if len(operands) > 1 else operands[0]
