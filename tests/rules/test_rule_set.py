"""Which rules are in force after all switches."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest

from exporter.config.model import Account, App, Config
from exporter.config.policy_model import Expect, Policy, Range, RuleSwitch
from exporter.rules.rule import CompiledRule, Rule, Severity, compile_rule
from exporter.rules.rule_set import RuleSet, expectation_rules, rule_set

EXPECT = Expect(region=("CN-Shanghai",), mix_mode=("mixed",), tasks=Range(least=1))


def rule(name: str, *apps: str) -> CompiledRule:
    """Make a rule."""
    return compile_rule(
        Rule(name=name, title=name.title(), severity=Severity.WARNING, expect="task.audio_only", apps=apps)
    )


def put_together(policy: Policy, *apps: App, profiles: Mapping[str, Sequence[str]] = MappingProxyType({})) -> RuleSet:
    """Return the rules in force for apps of the account `a`, with two default rules and two of files."""
    return rule_set(
        Config(accounts=(Account(name="a", apps=apps),), policy=policy),
        [rule("default-one"), rule("default-two")],
        {profile: [rule(name) for name in of_profile] for profile, of_profile in profiles.items()},
        [rule("all-apps"), rule("live-apps", "live-*", "stage")],
        [*map(compile_rule, expectation_rules())],
    )


def names(rules: tuple[CompiledRule, ...]) -> list[str]:
    """Return the names of rules."""
    return [one.rule.name for one in rules]


def test_without_switches_every_rule_is_in_force() -> None:
    """Default rules come before those of files, each in their order, with their own severities."""
    rules = put_together(Policy(examples_per_rule=7, max_examples=70))
    assert names(rules.rules) == ["default-one", "default-two", "all-apps", "live-apps"]
    assert {one.rule.severity for one in rules.rules} == {Severity.WARNING}
    assert rules.off == ()
    assert (rules.examples_per_rule, rules.max_examples) == (7, 70)


@pytest.mark.parametrize(
    ("policy", "in_force", "off"),
    [
        (
            {"rules": {"default-one": RuleSwitch(enabled=False), "all-apps": RuleSwitch(enabled=False)}},
            ["default-two", "live-apps"],
            {
                "default-one": "policy.rules.default-one.enabled is false",
                "all-apps": "policy.rules.all-apps.enabled is false",
                "twitch-one": "policy.profiles lacks twitch",
                "youtube-one": "policy.profiles lacks youtube",
                "youtube-two": "policy.profiles lacks youtube",
            },
        ),
        (
            {
                "default_rules": False,
                "profiles": ("youtube",),
                "rules": {"default-one": RuleSwitch(severity="critical"), "youtube-two": RuleSwitch(enabled=False)},
            },
            ["youtube-one", "all-apps", "live-apps"],
            {
                "default-one": "policy.default_rules is false",
                "default-two": "policy.default_rules is false",
                "twitch-one": "policy.profiles lacks twitch",
                "youtube-two": "policy.rules.youtube-two.enabled is false",
            },
        ),
    ],
)
def test_rules_are_switched_by_name_and_together(
    policy: dict[str, Any], in_force: list[str], off: dict[str, str]
) -> None:
    """A rule that is switched off is not in force, and the reason is given.

    Named profiles are in force where default rules are off, too, whatever a switch says of a single one of those.
    """
    profiles = {"twitch": ("twitch-one",), "youtube": ("youtube-one", "youtube-two")}
    rules = put_together(Policy(**policy), profiles=profiles)
    assert names(rules.rules) == in_force
    assert {one.rule.name: one.why for one in rules.off} == off


def test_a_severity_is_replaced_by_name() -> None:
    """A switch's severity takes the place of the rule's own, which makes another version of it."""
    rules = put_together(Policy(rules={"default-one": RuleSwitch(severity="critical")}))
    before = put_together(Policy())
    assert [one.rule.severity for one in rules.rules[:2]] == [Severity.CRITICAL, Severity.WARNING]
    assert rules.rules[0].rule.version != before.rules[0].rule.version
    assert rules.rules[1].rule.version == before.rules[1].rule.version


def test_an_app_has_the_rules_that_apply_to_it_and_what_is_expected_of_it() -> None:
    """Rules for other apps are left out; what is expected of the app is last, its number of tasks apart."""
    rules = put_together(Policy(default_rules=False), App(id="live-1", expect=EXPECT), App(id="other"))
    live, other = rules.of_app("a", "live-1"), rules.of_app("a", "other")
    assert names(live.rules) == ["all-apps", "live-apps", "expect-region", "expect-mix-mode"]
    assert live.count is not None
    assert live.count.rule.name == "expect-tasks"
    assert names(other.rules) == ["all-apps"]
    assert other.count is None
    assert names(rules.of_app("b", "live-1").rules) == ["all-apps", "live-apps"]


def test_what_is_expected_is_switched_by_name_for_all_apps() -> None:
    """Expectations are switched as other rules are, also that about the number of tasks."""
    switches = {
        "expect-region": RuleSwitch(enabled=False),
        "expect-mix-mode": RuleSwitch(severity="info"),
        "expect-tasks": RuleSwitch(enabled=False),
    }
    apps = (App(id="one", expect=EXPECT), App(id="two", expect=Expect(region=("AP-Singapore",))))
    rules = put_together(Policy(default_rules=False, rules=switches), *apps)
    one, two = rules.of_app("a", "one"), rules.of_app("a", "two")
    assert [(rule.rule.name, rule.rule.severity) for rule in one.rules[1:]] == [("expect-mix-mode", Severity.INFO)]
    assert names(two.rules) == ["all-apps"]
    assert (one.count, two.count) == (None, None)
    assert {off.rule.name for off in rules.off} >= {"expect-region", "expect-tasks"}
    assert len({off.rule.name for off in rules.off}) == len(rules.off)


def test_all_rules_are_listed_once() -> None:
    """What is expected of several apps is one rule of the list."""
    rules = put_together(Policy(), App(id="one", expect=EXPECT), App(id="two", expect=Expect(region=("AP-Singapore",))))
    assert [rule.name for rule in rules.all_rules()] == [
        "default-one",
        "default-two",
        "all-apps",
        "live-apps",
        "expect-region",
        "expect-mix-mode",
        "expect-tasks",
    ]


def test_what_many_apps_have_in_common_is_kept_once() -> None:
    """A thousand apps of which the same is expected have the very same rules."""
    rules = put_together(Policy(), *(App(id=f"app-{number}", expect=EXPECT) for number in range(1000)))
    assert len(rules.expectations) == 1000
    assert len({id(expected) for expected in rules.expectations.values()}) == 1
