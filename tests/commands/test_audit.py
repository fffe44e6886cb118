"""Tests of what `audit` finds, prints and ends with."""

import json
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from exporter.commands.audit import Output, _audit
from exporter.config.mistakes import ConfigError
from exporter.core import log
from exporter.metrics.self_metrics import SelfMetrics
from exporter.rules.rule import Severity
from exporter.service.configuration_source import ConfigurationSource
from tests.support.configurations import account, write_configuration
from tests.support.log_state import logging_restored
from tests.support.monitored import Simulated, simulated

RULES = """
rules:
  - name: bitrate-agreed
    title: Bitrate as agreed
    severity: SEVERITY
    when: task.mix_mode == "mixed"
    expect: task.video.bitrate_kbps <= 3000
    message: '"video at " + string(task.video.bitrate_kbps)'
    exempt:
      - {name: load-test, tasks: ["load-*"], reason: agreed}
"""

HOSTILE = "\x1b]0;owned\x07\x1b[31mred\r\n\u202egnp.exe"


@pytest.fixture(autouse=True)
def _silent_log() -> Iterator[None]:
    """Log errors alone, as the command does."""
    with logging_restored():
        log.configure("error", "logfmt", sys.stderr, lambda _: None)
        yield


@pytest.fixture
async def service() -> AsyncIterator[Simulated]:
    """Serve one empty app."""
    async with simulated(apps=1, tasks=0) as running:
        yield running


def _add(service: Simulated, task_id: str, bitrate_kbps: int | None, mode: str = "1") -> None:
    encoding = {} if bitrate_kbps is None else {"VideoBitrate": str(bitrate_kbps)}
    body = {
        "TaskId": task_id,
        "ChannelId": "channel",
        "MixMode": mode,
        "TranscodeParams": {"EncodeParams": {"AudioBitrate": "64", **encoding}},
    }
    service.service.fleet.create("app-1", body)


async def _audited(
    service: Simulated,
    directory: Path,
    capsys: pytest.CaptureFixture[str],
    output: Output = "table",
    fail_on: Severity | None = Severity.WARNING,
    *,
    apps: tuple[str, ...] = ("app-1",),
    severity: str = "warning",
    policy: str = "",
    rules: str = RULES,
) -> tuple[int, str, str]:
    """Return the exit code and what is printed."""
    (directory / "rules.yml").write_text(rules.replace("SEVERITY", severity))
    rest = f"policy: {{default_rules: false, rule_files: [rules.yml]{policy}}}\n"
    config = write_configuration(directory, account(service.url, apps), rest=rest)
    code = await _audit(ConfigurationSource.of_file(config, {}), output, fail_on, SelfMetrics(version="test"))
    shown = capsys.readouterr()
    return code, shown.out, shown.err


async def test_every_task_is_accounted_for(
    service: Simulated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Violations have messages, exempted ones their exemption, unevaluable ones a reason; the rest is counted."""
    for task_id, bitrate_kbps in {"a": 3001, "b": 8000, "c": 3000, "load-1": 9000, "none": None}.items():
        _add(service, task_id, bitrate_kbps)
    _add(service, "single", 9000, mode="0")

    code, out, err = await _audited(service, tmp_path, capsys, "json")

    assert (code, err) == (1, "")
    (app,) = json.loads(out)["apps"]
    (rule,) = app["rules"]
    assert (app["tasks"], rule["passed"], rule["not_applicable"]) == (6, 1, 1)
    assert rule["violations"] == [
        {"task_id": "a", "message": "video at 3001"},
        {"task_id": "b", "message": "video at 8000"},
    ]
    assert rule["exempted"] == [{"task_id": "load-1", "exemption": "load-test", "until": None, "reason": "agreed"}]
    (unevaluable,) = rule["unevaluable"]
    assert unevaluable["task_id"] == "none"
    assert "bitrate_kbps" in unevaluable["reason"]


@pytest.mark.parametrize(
    ("severity", "fail_on", "code"),
    [
        ("info", Severity.INFO, 1),
        ("info", Severity.WARNING, 0),
        ("warning", Severity.WARNING, 1),
        ("warning", Severity.CRITICAL, 0),
        ("critical", Severity.CRITICAL, 1),
        ("critical", None, 0),
    ],
)
async def test_the_exit_code_says_whether_something_was_found(
    service: Simulated,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    severity: str,
    fail_on: Severity | None,
    code: int,
) -> None:
    """It is 1 for a violation at or above the severity; lesser ones are shown all the same."""
    _add(service, "a", 8000)

    found, out, _ = await _audited(service, tmp_path, capsys, fail_on=fail_on, severity=severity)

    assert found == code
    assert re.search(rf"^ {severity} +bitrate-agreed ", out, re.MULTILINE)


async def test_what_cannot_be_evaluated_is_shown_and_fails_nothing(
    service: Simulated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exempted and unevaluable tasks have a table of their own, with names and reasons."""
    _add(service, "load-1", 8000)
    _add(service, "none", None)

    code, out, _ = await _audited(service, tmp_path, capsys, fail_on=Severity.INFO)

    assert code == 0
    assert "severity" not in out
    assert re.search(r"^ bitrate-agreed +production +app-1 +1 +1 +load-test; .*bitrate_kbps", out, re.MULTILINE)


async def test_an_app_that_cannot_be_read_fails_the_audit_and_hides_no_other(
    service: Simulated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its state is in the table and its reason on standard error; the others are still shown."""
    _add(service, "a", 100)

    code, out, err = await _audited(service, tmp_path, capsys, apps=("nobodys", "app-1"), fail_on=None)

    assert code == 3
    assert re.search(r"^ production +nobodys +app_invalid +- +- +- +- *$", out, re.MULTILINE)
    assert re.search(r"^ production +app-1 +ok +1 +0 +0 +0 *$", out, re.MULTILINE)
    assert re.fullmatch(r"production/nobodys: app_invalid: .+\n", err)


async def test_the_table_shows_so_many_examples(
    service: Simulated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each message appears once, with its tasks; beyond `examples_per_rule` violations are counted."""
    for number in range(5):
        _add(service, f"t-{number}", 8000)

    _, out, _ = await _audited(service, tmp_path, capsys, policy=", examples_per_rule: 2")

    assert re.search(
        r"^ warning +bitrate-agreed +production +app-1 +5 +video at 8000: t-0, t-1; 3 more *$", out, re.MULTILINE
    )


async def test_too_many_tasks_are_a_finding_about_the_app(
    service: Simulated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is in every rendering without a task."""
    _add(service, "a", 100)
    _add(service, "b", 100)
    config = write_configuration(
        tmp_path,
        account(service.url).replace("{id: app-1}", "{id: app-1, expect: {tasks: {max: 1}}}"),
        rest="policy: {default_rules: false}\n",
    )

    async def out(output: Output) -> str:
        source = ConfigurationSource.of_file(config, {})
        assert await _audit(source, output, Severity.WARNING, SelfMetrics(version="test")) == 1
        return capsys.readouterr().out

    assert re.search(
        r"^ warning +expect-tasks +production +app-1 +1 +too many tasks: 2, ", await out("table"), re.MULTILINE
    )
    (rule,) = json.loads(await out("json"))["apps"][0]["rules"]
    assert [violation["task_id"] for violation in rule["violations"]] == [""]
    (result,) = json.loads(await out("sarif"))["runs"][0]["results"]
    assert result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "production/app-1"
    assert ">too many tasks: 2, expected at most 1<" in await out("junit")


@pytest.mark.parametrize("output", ["table", "json", "sarif", "junit"])
async def test_what_others_write_acts_upon_no_terminal(
    service: Simulated, tmp_path: Path, capsys: pytest.CaptureFixture[str], output: Output
) -> None:
    """TaskIds and messages with control characters are escaped or stripped in every rendering, and are found."""
    _add(service, HOSTILE, 8000)
    rules = RULES.replace("string(task.video.bitrate_kbps)", "task_id + channel_id")

    code, out, _ = await _audited(service, tmp_path, capsys, output, rules=rules)

    assert code == 1
    assert "red" in out
    assert all(character == "\n" or character.isprintable() for character in out)


async def test_mistakes_in_rules_end_the_audit_before_any_request(
    service: Simulated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is asked of the service as long as the rules are wrong."""
    with pytest.raises(ConfigError, match=r"rules\.yml:7:\d+: expect: "):
        await _audited(service, tmp_path, capsys, rules=RULES.replace("bitrate_kbps <=", "bitrate <="))
    assert service.service.statistics.requests == 0
