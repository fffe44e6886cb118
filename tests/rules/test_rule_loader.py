"""Loading a configuration with its rules: what is read, what is in force, and all mistakes together."""

from pathlib import Path

import pytest

from exporter.config.mistakes import ConfigError
from exporter.rules.rule_files import default_rules
from exporter.rules.rule_loader import LoadedRules, load, load_rules

ACCOUNTS = "accounts: [{name: a, apps: [{id: live}]}]\n"
RULE = "rules:\n  - {name: %s, title: A rule, severity: info, expect: task.audio_only}\n"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a directory of rules within the working directory, so that mistakes have short names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules").mkdir()
    return tmp_path


def load_text(policy: str, accounts: str = ACCOUNTS) -> LoadedRules:
    """Load a configuration with this policy."""
    Path("rtcmpu.yml").write_text(f"{accounts}policy: {policy}\n", encoding="utf-8")
    return load(Path("rtcmpu.yml"), {})


def refused(policy: str, accounts: str = ACCOUNTS) -> list[str]:
    """Return the lines with which a configuration with this policy is refused."""
    with pytest.raises(ConfigError) as caught:
        load_text(policy, accounts)
    return str(caught.value).splitlines()


def names(loaded: LoadedRules) -> list[str]:
    """Return the names of the rules in force."""
    return [rule.rule.name for rule in loaded.rule_set.rules]


@pytest.mark.usefixtures("directory")
def test_default_rules_are_in_force_by_default() -> None:
    """Without a word about the policy the default rules are in force."""
    assert names(load_text("{}")) == [rule.name for rule in default_rules()]


def test_rule_files_are_read_in_order_and_followed(directory: Path) -> None:
    """Names and patterns are read once each, looked for again later, and covered by the digest."""
    (directory / "rules" / "b.yml").write_text(RULE % "b")
    (directory / "rules" / "a.yml").write_text(RULE % "a")
    (directory / "first.yml").write_text(RULE % "first")
    policy = "{default_rules: false, rule_files: [first.yml, rules/*.yml, rules/a.yml, later/*.yml]}"
    first = load_text(policy)
    assert names(first) == ["first", "a", "b"]
    assert first.files == tuple(map(Path, ("rtcmpu.yml", "first.yml", "rules/a.yml", "rules/b.yml")))
    assert first.globs == ("first.yml", "rules/*.yml", "rules/a.yml", "later/*.yml")
    assert first.rule_set.rules[0].rule.source == "first.yml:2"
    (directory / "rules" / "a.yml").write_text(RULE % "c")
    second = load_text(policy)
    assert names(second) == ["first", "c", "b"]
    assert second.sha256 != first.sha256


def test_mistakes_of_all_files_are_reported_at_once(directory: Path) -> None:
    """Mistakes of the configuration, of files of apps and of rules are reported together, by file and place."""
    (directory / "apps.yml").write_text("- id: a b\n")
    (directory / "rules" / "a.yml").write_text(RULE % "a" + "  - {name: c, title: C, severity: info}\n")
    (directory / "rules" / "b.yml").write_text((RULE % "b").replace("audio_only", "audio_olny"))
    (directory / "rules" / "c.yml").write_text(RULE % "b")
    lines = refused(
        "{rule_files: [rules/*.yml, nowhere.yml], max_examples: many}", "accounts: [{name: a, app_files: [apps.yml]}]\n"
    )
    assert lines == [
        "rtcmpu.yml:2:36: the file 'nowhere.yml' is not there, expected rules in it",
        "rtcmpu.yml:2:64: max_examples is 'many', expected a whole number, at least 0 and at most 100000",
        "apps.yml:1:7: id is 'a b', expected 1 to 64 letters, digits or _ -",
        "rules/a.yml:3:5: missing key expect, expected an expression",
        (
            "rules/b.yml:2:58: expect: undefined field 'audio_olny' not found in struct 'Task'"
            ', did you mean "audio_only"?'
        ),
        "rules/c.yml:2:12: rule b again, expected once: the first is at rules/b.yml:2:12",
    ]


def test_a_default_rules_name_is_taken(directory: Path) -> None:
    """A rule of a file can't have the name of a default rule, be these in force or not."""
    taken = default_rules()[0].name
    (directory / "rules" / "a.yml").write_text(RULE % taken)
    for policy in ("{rule_files: [rules/a.yml]}", "{default_rules: false, rule_files: [rules/a.yml]}"):
        assert refused(policy) == [
            f"rules/a.yml:2:12: rule {taken} again, expected another name: a built-in rule has it"
        ]


def test_a_switch_needs_a_rule(directory: Path) -> None:
    """A name under `rules` that no rule has is a mistake at its place, with the nearest name there is."""
    (directory / "rules" / "a.yml").write_text(RULE % "bitrate-agreed")
    switches = "{bitrate-agreed: {}, bitrate-agred: {}, expect-region: {}, expect-regoin: {}, qqqq: {}}"
    assert refused(f"{{rule_files: [rules/a.yml], rules: {switches}}}") == [
        "rtcmpu.yml:2:65: no rule is called bitrate-agred, expected bitrate-agreed",
        "rtcmpu.yml:2:103: no rule is called expect-regoin, expected expect-region",
        "rtcmpu.yml:2:122: no rule is called qqqq, expected the name of a rule",
    ]


def test_switches_are_not_doubted_while_a_file_hides_its_rules(directory: Path) -> None:
    """Where the rules of a file can't be made out, a switch may well be for one of them."""
    (directory / "rules" / "a.yml").write_text("rules: [\n")
    (line,) = refused("{rule_files: [rules/a.yml], rules: {hidden: {}}}")
    assert line.startswith("rules/a.yml:2:1: no valid YAML")


def test_one_file_can_be_of_apps_and_then_of_rules_in_vain(directory: Path) -> None:
    """A file that is named as both is read as both, and is wrong as one of them."""
    (directory / "a.yml").write_text("- id: a\n")
    accounts = "accounts: [{name: a, app_files: [a.yml]}]\n"
    assert refused("{rule_files: [a.yml]}", accounts) == [
        "a.yml:1:1: the file is a list, expected a mapping (key: value)"
    ]


def test_too_much_expected_is_a_mistake(directory: Path) -> None:
    """A list that is longer than rules can look at is a mistake of its app, once for a file that accounts share."""
    hosts = ", ".join(f"host-{number}.a-rather-long-domain.example.com" for number in range(500))
    (directory / "apps.yml").write_text(f"- {{id: live, expect: {{push_hosts: [{hosts}]}}}}\n")
    accounts = "accounts: [{name: a, app_files: [apps.yml]}, {name: b, app_files: [apps.yml]}]\n"
    assert refused("{}", accounts) == ["apps.yml:1:22: push_hosts has too many values, expected at most 128"]


def test_rule_files_can_be_read_by_themselves(directory: Path) -> None:
    """Rules are compiled without a configuration too, with all mistakes of all files together."""
    (directory / "a.yml").write_text(RULE % "a")
    (directory / "b.yml").write_text(RULE % "b")
    assert [rule.rule.name for rule in load_rules([Path("a.yml"), Path("b.yml")])] == ["a", "b"]
    (directory / "b.yml").write_text(RULE % "a")
    with pytest.raises(ConfigError) as caught:
        load_rules([Path("a.yml"), Path("b.yml"), Path("c.yml")])
    assert str(caught.value).splitlines() == [
        "b.yml:2:12: rule a again, expected once: the first is at a.yml:2:12",
        "c.yml:1:1: the file can't be read (No such file or directory), expected a readable YAML file",
    ]
