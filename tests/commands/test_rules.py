"""Tests of what `rules list` and `rules test` print."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exporter.commands.rule_commands import list_rules, run_tests
from exporter.config.mistakes import ConfigError
from exporter.rules.rule_loader import ConfigurationSource

NOW = datetime(2026, 11, 22, tzinfo=UTC).timestamp()

BITRATE = """
rules:
  - name: bitrate-agreed
    title: Bitrate as agreed
    severity: warning
    owner: live-ops
    runbook_url: https://example.com/bitrate
    apps: ["live-*"]
    when: task.mix_mode == "mixed"
    expect: task.video.bitrate_kbps <= 3000
    exempt:
      - {name: load-test, tasks: ["t-load-*"], until: 2027-01-31, reason: agreed}
      - {name: old, tasks: ["t-old"], until: 2020-01-01}
      - {name: for-good, tasks: ["t-1"]}
    tests:
      - {task: {video: {bitrate_kbps: 3000}}, outcome: pass}
      - {task: {video: {bitrate_kbps: 5000}}, outcome: violation}
      - {task: {video: {bitrate_kbps: 5000}}, task_id: t-load-1, outcome: exempt}
"""

FAILING = """
rules:
  - name: bitrate-agreed
    title: Bitrate as agreed
    severity: warning
    expect: task.video.bitrate_kbps <= 3000
    tests:
      - {task: {video: {bitrate_kbps: 3000}}, outcome: pass}
      - {task: {video: {bitrate_kbps: 5000}}, outcome: pass}
      - {task: {}, outcome: not_applicable}
  - name: untested
    title: Nobody has tested it
    severity: info
    expect: "true"
"""


def _written(directory: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (directory / name).write_text(text)


def _listed(directory: Path, config: str, output: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what `rules list` prints about a configuration."""
    path = directory / "rtcmpu.yml"
    path.write_text("accounts: [{name: production, apps: [{id: live-main}, {id: other}]}]\n" + config)
    source = ConfigurationSource.of_file(path, {})
    assert list_rules(source, "json" if output == "json" else "table", NOW) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out


def test_each_case_that_fails_is_a_line_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what was expected, what came and why; rules without cases are named too."""
    monkeypatch.chdir(tmp_path)
    _written(tmp_path, {"rules.yml": FAILING})
    assert run_tests([Path("rules.yml")]) == 1
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert first == "rules.yml:9:9: bitrate-agreed: expected pass, got violation"
    assert second.startswith("rules.yml:10:9: bitrate-agreed: expected not_applicable, got error: ")
    assert "bitrate_kbps" in second
    assert rest == ["rules.yml:11: untested: no test case", "2 rules, 3 cases: 1 passed, 2 failed"]


def test_mistakes_of_all_files_are_reported_at_once(tmp_path: Path) -> None:
    """A rule that can't be compiled, a name of a default rule and a file that is not there are each a line."""
    name_taken = BITRATE.replace("bitrate-agreed", "video-bitrate-out-of-range")
    _written(tmp_path, {"one.yml": FAILING.replace("bitrate_kbps <=", "bitrate <="), "two.yml": name_taken})
    with pytest.raises(ConfigError) as raised:
        run_tests([tmp_path / "one.yml", tmp_path / "two.yml", tmp_path / "three.yml"])
    one, two, three = str(raised.value).splitlines()
    assert one.startswith(f"{tmp_path}/one.yml:6:23: ")
    assert "bitrate_kbps" in one
    assert two.startswith(f"{tmp_path}/two.yml:3:11: rule video-bitrate-out-of-range again")
    assert three.startswith(f"{tmp_path}/three.yml:1:1: the file can't be read")


def test_a_file_that_is_named_twice_is_tested_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its rules are no duplicates of themselves."""
    _written(tmp_path, {"rules.yml": BITRATE})
    assert run_tests([tmp_path / "rules.yml"] * 2) == 0
    assert capsys.readouterr().out.startswith("1 rule, 3 cases")


def test_the_list_says_what_is_on_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each rule has its severity and who changed it, where it is, whom it is for, and its exemptions' ends."""
    _written(tmp_path, {"own.yml": BITRATE})
    config = """
policy:
  rule_files: [own.yml]
  rules: {idle-timeout-missing: {severity: critical}, gop-too-long: {enabled: false}}
"""
    shown = _listed(tmp_path, config, "table", capsys)
    rows = {row.split()[0]: row.split("  ") for row in shown.splitlines() if row.strip()}
    cells = {name: [cell.strip() for cell in row if cell.strip()] for name, row in rows.items()}
    assert cells["bitrate-agreed"] == [
        "bitrate-agreed",
        "warning",
        f"{tmp_path}/own.yml:3",
        "live-*",
        "load-test until 2027-01-31; old until 2020-01-01 (over); for-good",
    ]
    assert cells["idle-timeout-missing"] == [
        "idle-timeout-missing",
        "critical (by policy.rules)",
        "default",
        "all",
        "-",
    ]
    assert cells["gop-too-long"] == ["gop-too-long", "warning", "default", "policy.rules.gop-too-long.enabled is false"]
    on, off = shown.split("\n off ")
    assert "gop-too-long" not in on
    assert "gop-too-long" in off


def test_what_is_expected_of_apps_is_listed_with_the_apps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Such a rule appears once, with every app that expects it; one about the number of tasks too."""
    path = tmp_path / "rtcmpu.yml"
    path.write_text("""
accounts:
  - name: production
    apps:
      - {id: main, expect: {region: [CN-Shanghai], tasks: {min: 1}}}
      - {id: other, expect: {region: [AP-Singapore]}}
policy: {default_rules: false}
""")
    assert list_rules(ConfigurationSource.of_file(path, {}), "json", NOW) == 0
    document = json.loads(capsys.readouterr().out)
    assert {rule["rule"]: (rule["source"], rule["apps"]) for rule in document["on"]} == {
        "expect-region": ("app", ["production/main", "production/other"]),
        "expect-tasks": ("app", ["production/main"]),
    }
    assert document["off"]
    assert {(rule["source"], rule["why"]) for rule in document["off"] if rule["source"] != "profile"} == {
        ("default", "policy.default_rules is false")
    }


def test_the_list_as_json_has_everything_that_the_table_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts find the rules by name, with the same facts."""
    _written(tmp_path, {"own.yml": BITRATE})
    config = """
policy: {rule_files: [own.yml], default_rules: false, rules: {bitrate-agreed: {severity: critical}}}
"""
    document = json.loads(_listed(tmp_path, config, "json", capsys))
    assert document["on"] == [
        {
            "rule": "bitrate-agreed",
            "title": "Bitrate as agreed",
            "severity": "critical",
            "source": f"{tmp_path}/own.yml:3",
            "owner": "live-ops",
            "runbook_url": "https://example.com/bitrate",
            "severity_by": "policy.rules",
            "apps": ["live-*"],
            "exemptions": [
                {"name": "load-test", "tasks": ["t-load-*"], "until": "2027-01-31", "over": False, "reason": "agreed"},
                {"name": "old", "tasks": ["t-old"], "until": "2020-01-01", "over": True, "reason": ""},
                {"name": "for-good", "tasks": ["t-1"], "until": None, "over": False, "reason": ""},
            ],
        }
    ]
