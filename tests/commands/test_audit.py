"""Tests of what `audit` finds, prints and ends with."""

import json
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from exporter.commands.audit import Output, _audit
from exporter.commands.audit_report import gather
from exporter.config.mistakes import ConfigError
from exporter.core import log
from exporter.core.collection_state import State
from exporter.metrics.self_metrics import SelfMetrics
from exporter.rules.rule import Exemption, Severity
from exporter.rules.rule_loader import ConfigurationSource
from tests.metrics.builders import STATUS
from tests.support.command_line import logging_restored
from tests.support.configurations import account, write_configuration
from tests.support.monitored import Simulated, simulated
from tests.support.policy_world import LIVE, NOON, PolicyWorld, rule

pytestmark = pytest.mark.usefixtures("no_process_before")

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


class Auditing:
    """A service with one empty app, and audits of it."""

    def __init__(self, running: Simulated, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.url = running.url
        self.service = running.service
        self._directory = directory
        self._capsys = capsys

    def add(self, task_id: str, bitrate_kbps: int | None, mode: str = "1") -> None:
        encoding = {} if bitrate_kbps is None else {"VideoBitrate": str(bitrate_kbps)}
        body: dict[str, Any] = {"TaskId": task_id, "ChannelId": "channel", "MixMode": mode}
        body["TranscodeParams"] = {"EncodeParams": {"AudioBitrate": "64", **encoding}}
        self.service.fleet.create("app-1", body)

    async def run(
        self,
        output: Output = "table",
        fail_on: Severity | None = Severity.WARNING,
        *,
        apps: str = "",
        severity: str = "warning",
        policy: str = ", rule_files: [rules.yml]",
        rules: str = RULES,
    ) -> tuple[int, str, str]:
        """Return the exit code and what is printed."""
        (self._directory / "rules.yml").write_text(rules.replace("SEVERITY", severity))
        accounts = account(self.url).replace("{id: app-1}", apps or "{id: app-1}")
        config = write_configuration(self._directory, accounts, rest=f"policy: {{default_rules: false{policy}}}\n")
        code = await _audit(ConfigurationSource.of_file(config, {}), output, fail_on, SelfMetrics(version="test"))
        shown = self._capsys.readouterr()
        return code, shown.out, shown.err


@pytest.fixture
async def audit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Auditing]:
    """Serve one empty app."""
    async with simulated(apps=1, tasks=0) as running:
        yield Auditing(running, tmp_path, capsys)


async def test_every_task_is_accounted_for(audit: Auditing) -> None:
    """Violations have messages, exempted ones their exemption, unevaluable ones a reason; the rest is counted."""
    for task_id, bitrate_kbps in {"a": 3001, "b": 8000, "c": 3000, "load-1": 9000, "none": None}.items():
        audit.add(task_id, bitrate_kbps)
    audit.add("single", 9000, mode="0")

    code, out, err = await audit.run("json")

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
    audit: Auditing, severity: str, fail_on: Severity | None, code: int
) -> None:
    """It is 1 for a violation at or above the severity; lesser ones are shown all the same."""
    audit.add("a", 8000)

    found, out, _ = await audit.run(fail_on=fail_on, severity=severity)

    assert found == code
    assert re.search(rf"^ {severity} +bitrate-agreed ", out, re.MULTILINE)


async def test_what_cannot_be_evaluated_is_shown_and_fails_nothing(audit: Auditing) -> None:
    """Exempted and unevaluable tasks have a table of their own, with names and reasons."""
    audit.add("load-1", 8000)
    audit.add("none", None)

    code, out, _ = await audit.run(fail_on=Severity.INFO)

    assert code == 0
    assert "severity" not in out
    assert re.search(r"^ bitrate-agreed +production +app-1 +1 +1 +load-test; .*bitrate_kbps", out, re.MULTILINE)


async def test_an_app_that_cannot_be_read_fails_the_audit_and_hides_no_other(audit: Auditing) -> None:
    """Its state is in the table and its reason on standard error; the others are still shown."""
    audit.add("a", 100)

    code, out, err = await audit.run(apps="{id: nobodys}, {id: app-1}", fail_on=None)

    assert code == 3
    assert re.search(r"^ production +nobodys +app_invalid +- +- +- +- *$", out, re.MULTILINE)
    assert re.search(r"^ production +app-1 +ok +1 +0 +0 +0 *$", out, re.MULTILINE)
    assert re.fullmatch(r"production/nobodys: app_invalid: .+\n", err)


async def test_findings_win_over_an_app_that_cannot_be_read(audit: Auditing) -> None:
    """Exit code 1 says that something was found, whatever else failed."""
    audit.add("a", 8000)
    code, _, err = await audit.run(apps="{id: nobodys}, {id: app-1}")
    assert code == 1
    assert "nobodys" in err


async def test_the_table_shows_so_many_examples(audit: Auditing) -> None:
    """Each message appears once, with its tasks; beyond `examples_per_rule` violations are counted."""
    for number in range(5):
        audit.add(f"t-{number}", 8000)

    _, out, _ = await audit.run(policy=", rule_files: [rules.yml], examples_per_rule: 2")

    assert re.search(
        r"^ warning +bitrate-agreed +production +app-1 +5 +video at 8000: t-0, t-1; 3 more *$", out, re.MULTILINE
    )


async def test_too_many_tasks_are_a_finding_about_the_app(audit: Auditing) -> None:
    """It is in every rendering without a task."""
    audit.add("a", 100)
    audit.add("b", 100)

    async def out(output: Output) -> str:
        code, shown, _ = await audit.run(output, apps="{id: app-1, expect: {tasks: {max: 1}}}", policy="")
        assert code == 1
        return shown

    assert re.search(
        r"^ warning +expect-tasks +production +app-1 +1 +too many tasks: 2, ", await out("table"), re.MULTILINE
    )
    (rule,) = json.loads(await out("json"))["apps"][0]["rules"]
    assert [violation["task_id"] for violation in rule["violations"]] == [""]
    (result,) = json.loads(await out("sarif"))["runs"][0]["results"]
    assert result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "production/app-1"
    assert ">too many tasks: 2, expected at most 1<" in await out("junit")


@pytest.mark.parametrize("output", ["table", "json", "sarif", "junit"])
async def test_what_others_write_acts_upon_no_terminal(audit: Auditing, output: Output) -> None:
    """TaskIds and messages with control characters are escaped or stripped in every rendering, and are found."""
    audit.add(HOSTILE, 8000)
    rules = RULES.replace("string(task.video.bitrate_kbps)", "task_id + channel_id")

    code, out, _ = await audit.run(output, rules=rules)

    assert code == 1
    assert "red" in out
    assert all(character == "\n" or character.isprintable() for character in out)


async def test_mistakes_in_rules_end_the_audit_before_any_request(audit: Auditing) -> None:
    """Nothing is asked of the service as long as the rules are wrong."""
    with pytest.raises(ConfigError, match=r"rules\.yml:7:\d+: expect: "):
        await audit.run(rules=RULES.replace("bitrate_kbps <=", "bitrate <="))
    assert audit.service.statistics.requests == 0


async def test_half_a_character_of_a_task_id_becomes_a_question_mark() -> None:
    """No format can hold it."""
    agreed = Exemption(name="agreed", reason="Agreed.", tasks=("t-*",))
    slow = rule("slow", "task.idle_timeout_seconds <= 60", message="task_id")
    world = PolicyWorld(slow, rule("quick", "task.idle_timeout_seconds > 600", exempt=(agreed,)))
    world.put("t-\ud800", idle_timeout_seconds=600)
    world.collect_all()
    await world.settle()
    audit = gather((), [(replace(STATUS, account=LIVE[0], app_id=LIVE[1], up=True), 1)], world.policy, NOON, {})
    found = {one.rule.name: one for one in audit.apps[0].rules}
    assert found["slow"].violations == [("t-?", "t-?")]
    assert found["quick"].exempted == [("t-?", agreed)]


async def test_an_app_that_could_not_be_read_has_no_findings() -> None:
    """What was found before is not shown as if it were now."""
    world = PolicyWorld(rule("slow", "task.idle_timeout_seconds <= 60"))
    world.put("a", idle_timeout_seconds=600)
    world.collect_all()
    await world.settle()
    failed = replace(STATUS, account=LIVE[0], app_id=LIVE[1], up=False, state=State.TIMEOUT, reason="too late")
    (app,) = gather((), [(failed, 1)], world.policy, NOON, {}).apps
    assert (app.tasks, app.rules, app.state, app.reason) == (None, (), State.TIMEOUT, "too late")
