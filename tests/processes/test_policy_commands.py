"""`audit` and `rules` as a user or a pipeline runs them, against the demonstration's service at rest."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import pytest

from exporter.simulator.simulation import ACCOUNTS
from tests.oracle.rule_truth import listed_fleet
from tests.support.configurations import account, write_configuration
from tests.support.processes import Programs

pytestmark = pytest.mark.processes

FOUND_BY = {
    "slow_preset": "preset-too-slow",
    "gop_too_long": "gop-too-long",
    "no_idle_timeout": "idle-timeout-missing",
    "duplicate_push_url": "push-stream-shared",
    "password_in_url": "push-url-with-password",
    "overlapping_panes": "panes-overlapping",
    "pane_outside": "panes-outside-canvas",
    "h265_with_high_profile": "profile-does-not-fit-codec",
    "both_url_fields": "push-url-in-both-fields",
    "single_with_transcoding": "single-with-transcoding",
    "wrong_region": "expect-region",
    "foreign_push_host": "expect-push-hosts",
    "idle_timeout_too_long": "expect-idle-timeout-seconds",
    "framerate_too_low": "expect-video-framerate",
    "odd_resolution": "expect-resolution",
    "odd_width": "video-size-odd",
    "short_gop": "gop-too-short",
    "private_push_host": "push-host-not-public",
    "test_stream": "push-url-is-test",
    "pane_of_a_stranger": "pane-user-not-mixed",
    "bitrate_too_high": "bitrate-agreed",
}
"""What is wrong on purpose in the demonstration, and the rule that finds it."""

EXPECT = (
    "{region: [CN-Shanghai, AP-Singapore], push_hosts: ['*.example.com'], idle_timeout_seconds: {max: 7200},"
    " video_framerate: {min: 10}, resolution: [360p, 480p, 720p, 1080p, portrait_720p, portrait_1080p]}"
)

RULES = """
rules:
  - name: bitrate-agreed
    title: Bitrate as agreed
    severity: critical
    when: has(task.video.bitrate_kbps)
    expect: task.video.bitrate_kbps <= 6000
    message: '"video at " + string(task.video.bitrate_kbps) + " kbit/s"'
    tests:
      - {task: {video: {bitrate_kbps: 6000}}, outcome: pass}
      - {task: {video: {bitrate_kbps: 6001}}, outcome: violation}
      - {task: {}, outcome: not_applicable}
"""


class Audited(NamedTuple):
    """A service at rest, and a configuration that reads it."""

    programs: Programs
    url: str
    config: Path


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    """Serve the demonstration's fleet, and write down what is expected of its first account."""
    with Programs(tmp_path_factory.mktemp("audited")) as programs:
        url = programs.start_demo_fleet()
        (programs.directory / "rules.yml").write_text(RULES)
        config = _write(programs, url, [app.id for app in ACCOUNTS[0].apps], name="rtcmpu.yml")
        yield Audited(programs, url, config)


def _write(programs: Programs, url: str, apps: list[str], *, name: str) -> Path:
    demo = ACCOUNTS[0]
    expected = [f"{app}, expect: {EXPECT}" for app in apps]
    entry = account(url, expected, name=demo.name, key_id=demo.access_key_id, key_secret=demo.access_key_secret)
    rest = (
        "policy:\n  rule_files: [rules.yml]\n"
        "  rules: {gop-too-long: {severity: critical}, everyone-mixed: {enabled: false}}\n"
    )
    return write_configuration(programs.directory, entry, name=name, rest=rest)


def _violations(document: dict[str, Any]) -> dict[tuple[str, str], set[str]]:
    """Return the violating tasks by app and rule."""
    return {
        (app["app_id"], rule["rule"]): {violation["task_id"] for violation in rule["violations"]}
        for app in document["apps"]
        for rule in app["rules"]
    }


def test_an_audit_finds_everything_that_is_wrong_on_purpose(audited: Audited) -> None:
    """Each marked task is among the violations of the rule that is made for it, and every task is accounted for."""
    done = audited.programs.run_exporter("audit", f"--config.file={audited.config}", "--output=json")

    assert (done.code, done.err) == (1, "")
    document = json.loads(done.out)
    fleet = listed_fleet(audited.url)
    violations = _violations(document)
    marked = fleet["live-main"].marked
    assert FOUND_BY.keys() == marked.keys()
    for mark, rule in FOUND_BY.items():
        assert len(marked[mark]) == 2
        assert set(marked[mark]) <= violations["live-main", rule], mark
    assert violations["live-main", "push-url-with-password"] == set(marked["password_in_url"])
    assert violations["live-main", "preset-too-slow"] == set(marked["slow_preset"])
    for app in document["apps"]:
        assert app["tasks"] == len(fleet[app["app_id"]].rows)
        for rule in app["rules"]:
            lists = ("violations", "exempted", "unevaluable")
            evaluated = rule["passed"] + rule["not_applicable"] + sum(len(rule[each]) for each in lists)
            assert evaluated == app["tasks"], rule["rule"]


def test_an_audit_as_a_table_shows_the_worst_first(audited: Audited) -> None:
    """Who reads it sees the severity, the rule, the app, how many tasks and some of them, and every app's sums."""
    done = audited.programs.run_exporter("audit", f"--config.file={audited.config}")

    assert (done.code, done.err) == (1, "")
    assert "\x1b" not in done.out
    severities = re.findall(r"^ (critical|warning|info) ", done.out, re.MULTILINE)
    assert severities == sorted(severities, key=("critical", "warning", "info").index)
    assert set(severities) == {"critical", "warning", "info"}
    assert re.search(r"critical +bitrate-agreed +production +live-main +2 +video at 8000 kbit/s: \w+, \w+ ", done.out)
    assert re.search(r"^ production +relay-only +ok +120 ", done.out, re.MULTILINE)


def test_an_audit_as_junit_fails_what_the_exit_code_fails(audited: Audited) -> None:
    """With another `--fail-on` other test cases fail; without a failure the exit code is 0."""
    config = _write(audited.programs, audited.url, ["live-main"], name="main.yml")
    failures = {}
    for fail_on in ("info", "critical", "never"):
        words = (f"--config.file={config}", "--output=junit", f"--fail-on={fail_on}")
        done = audited.programs.run_exporter("audit", *words)
        assert done.err == ""
        root = ET.fromstring(done.out)  # noqa: S314 - written by the program under test
        failures[fail_on] = int(root.get("failures", ""))
        assert done.code == (1 if failures[fail_on] else 0)
    assert failures["info"] > failures["critical"] > failures["never"] == 0


def test_the_cases_of_a_rule_file_are_run(audited: Audited) -> None:
    """A rule that does what its author means is fine, one that does not is a line and exit code 1, a mistake is 2."""
    directory = audited.programs.directory
    (directory / "failing.yml").write_text(RULES.replace("6001}}, outcome: violation", "6001}}, outcome: pass"))
    (directory / "wrong.yml").write_text(RULES.replace("bitrate_kbps <=", "bitrate_kpbs <="))

    fine = audited.programs.run_exporter("rules", "test", "rules.yml")
    failing = audited.programs.run_exporter("rules", "test", "failing.yml")
    wrong = audited.programs.run_exporter("rules", "test", "wrong.yml")

    assert (fine.code, fine.out, fine.err) == (0, "1 rule, 3 cases: 3 passed, 0 failed\n", "")
    assert (failing.code, failing.err) == (1, "")
    assert failing.out.splitlines()[0] == "failing.yml:11:9: bitrate-agreed: expected pass, got violation"
    assert (wrong.code, wrong.out) == (2, "")
    assert re.match(r"wrong\.yml:7:\d+: expect: .*bitrate_kpbs.*bitrate_kbps", wrong.err)
