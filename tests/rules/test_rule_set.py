"""Which rules are in force after all switches."""

from collections.abc import Iterable
from typing import Any

from exporter.config.model import Account, App, Config
from exporter.config.policy_model import Expect, Policy, Range, RuleSwitch
from exporter.rules.rule import CompiledRule, Severity
from exporter.rules.rule_files import default_rules, profile_rules
from exporter.rules.rule_set import RuleSet, rule_set
from tests.support.policy_world import rule

EXPECT = Expect(region=("CN-Shanghai",), mix_mode=("mixed",), tasks=Range(least=1))
OF_FILES = (rule("all-apps", "true"), rule("live-apps", "true", apps=("live-*", "stage")))
DEFAULT = [rule.name for rule in default_rules()]
OF_PROFILE = {profile: [rule.name for rule in rules] for profile, rules in profile_rules().items()}


def put_together(policy: dict[str, Any], *apps: App) -> RuleSet:
    """Return the rules in force for apps of the account `a`, with two rules of files."""
    return rule_set(Config(accounts=(Account(name="a", apps=apps),), policy=Policy(**policy)), OF_FILES)


def names(rules: Iterable[CompiledRule]) -> list[str]:
    """Return the names of rules."""
    return [one.rule.name for one in rules]


def lacking(*profiles: str) -> dict[str, str]:
    """Return why the rules of profiles are off."""
    return {name: f"policy.profiles lacks {profile}" for profile in profiles for name in OF_PROFILE[profile]}


def test_without_switches_every_rule_is_in_force() -> None:
    """Default rules come before those of files, each in their order, with their own severities."""
    rules = put_together({"examples_per_rule": 7, "max_examples": 70})
    assert names(rules.rules) == [*DEFAULT, "all-apps", "live-apps"]
    assert [one.rule for one in rules.rules] == [*default_rules(), *(one.rule for one in OF_FILES)]
    assert {off.rule.name: off.why for off in rules.off} == lacking(*OF_PROFILE)
    assert (rules.examples_per_rule, rules.max_examples) == (7, 70)


def test_rules_are_switched_by_name_and_together() -> None:
    """A rule that is switched off is not in force, and the reason is given.

    Named profiles are in force where default rules are off, too, whatever a switch says of a single one of those.
    """
    first, *others = DEFAULT
    off = RuleSwitch(enabled=False)
    rules = put_together({"rules": {first: off, "all-apps": off}})
    assert names(rules.rules) == [*others, "live-apps"]
    assert {one.rule.name: one.why for one in rules.off} == lacking(*OF_PROFILE) | {
        name: f"policy.rules.{name}.enabled is false" for name in (first, "all-apps")
    }

    last, *rest = reversed(OF_PROFILE["youtube"])
    rules = put_together(
        {"default_rules": False, "profiles": ("youtube",), "rules": {first: RuleSwitch(severity="critical"), last: off}}
    )
    assert names(rules.rules) == [*reversed(rest), "all-apps", "live-apps"]
    assert {one.rule.name: one.why for one in rules.off} == {
        **lacking(*OF_PROFILE.keys() - {"youtube"}),
        **dict.fromkeys(DEFAULT, "policy.default_rules is false"),
        last: f"policy.rules.{last}.enabled is false",
    }


def test_a_severity_is_replaced_by_name() -> None:
    """A switch's severity takes the place of the rule's own, which makes another version of it."""
    before, after = put_together({}), put_together({"rules": {"all-apps": RuleSwitch(severity="critical")}})
    changed = [(one.rule, other.rule) for one, other in zip(before.rules, after.rules, strict=True) if one != other]
    ((one, other),) = [(one, other) for one, other in changed if one.version != other.version]
    assert (one.severity, other.severity) == (Severity.WARNING, Severity.CRITICAL)


def test_an_app_has_the_rules_that_apply_to_it_and_what_is_expected_of_it() -> None:
    """Rules for other apps are left out; what is expected of the app is last, its number of tasks apart."""
    rules = put_together({"default_rules": False}, App(id="live-1", expect=EXPECT), App(id="other"))
    live, other = rules.of_app("a", "live-1"), rules.of_app("a", "other")
    assert names(live.rules) == ["all-apps", "live-apps", "expect-region", "expect-mix-mode"]
    assert live.count is not None
    assert live.count.rule.name == "expect-tasks"
    assert (names(other.rules), other.count) == (["all-apps"], None)
    assert names(rules.of_app("b", "live-1").rules) == ["all-apps", "live-apps"]


def test_what_is_expected_is_switched_by_name_for_all_apps() -> None:
    """Expectations are switched as other rules are, also that about the number of tasks."""
    off = RuleSwitch(enabled=False)
    switches = {"expect-region": off, "expect-mix-mode": RuleSwitch(severity="info"), "expect-tasks": off}
    apps = (App(id="one", expect=EXPECT), App(id="two", expect=Expect(region=("AP-Singapore",))))
    rules = put_together({"default_rules": False, "rules": switches}, *apps)
    one, two = rules.of_app("a", "one"), rules.of_app("a", "two")
    assert [(rule.rule.name, rule.rule.severity) for rule in one.rules[1:]] == [("expect-mix-mode", Severity.INFO)]
    assert names(two.rules) == ["all-apps"]
    assert (one.count, two.count) == (None, None)
    off_by_name = [off.rule.name for off in rules.off]
    assert {"expect-region", "expect-tasks"} <= set(off_by_name)
    assert len(set(off_by_name)) == len(off_by_name)


def test_what_is_expected_of_many_apps_is_kept_and_listed_once() -> None:
    """A thousand apps of which the same is expected have the very same rules."""
    apps = [App(id=f"app-{number}", expect=EXPECT) for number in range(1000)]
    rules = put_together({"default_rules": False}, *apps, App(id="two", expect=Expect(region=("AP-Singapore",))))
    assert len({id(rules.expectations["a", app.id]) for app in apps}) == 1
    expected = ["expect-region", "expect-mix-mode", "expect-tasks"]
    assert [rule.name for rule in rules.all_rules()] == ["all-apps", "live-apps", *expected]
