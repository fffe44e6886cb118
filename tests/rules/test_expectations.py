"""What an app's owner expects, as rules; the outcomes are tested beside the rules, in `expectations.yml`."""

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exporter.config.model import App
from exporter.config.policy_model import Expect, Range
from exporter.rules.cel_language import Activation, activation_of, matches_glob
from exporter.rules.facts import LONGEST_LIST, facts_of_case
from exporter.rules.rule import Outcome, Severity, compile_rule
from exporter.rules.rule_loader import load
from exporter.rules.rule_set import AppRules, expectation_rules, expected_of, too_long_list
from exporter.rules.subject import app_facts
from tests.support.configurations import read_yaml
from tests.support.subtests import for_each

RULES = [*map(compile_rule, expectation_rules())]
EVERY_KEY = Path(__file__).parent.parent / "config" / "good" / "policy.yml"


def activation(expect: Expect, **task: Any) -> Activation:
    """Return a task of an app that expects something."""
    return activation_of({"task": facts_of_case(task), "app": app_facts("account", App(id="live", expect=expect))})


MESSAGES = read_yaml("""
- - region: [CN-Shanghai, EMAA-Saudi]
  - region: AP-Singapore
  - "Region: AP-Singapore, expected CN-Shanghai or EMAA-Saudi"
- [{mix_mode: [mixed]}, {mix_mode: single}, "Mode: single, expected mixed"]
- - push_hosts: ["*.example.com"]
  - outputs: [{host: a.example.com}, {host: example.com}, {host: a.example.com.evil}]
  - "Push hosts: example.com, a.example.com.evil, expected *.example.com"
- [{push_hosts: [a]}, {outputs: [{host: ""}]}, "Push hosts: none, expected a"]
- [{push_schemes: [rtmps, srt]}, {outputs: [{scheme: rtmp}]}, "Push schemes: rtmp, expected rtmps or srt"]
- [{push_schemes: [rtmps]}, {outputs: [{scheme: RTMPS}, {scheme: ""}]}, "Push schemes: none, expected rtmps"]
- [{ali_cdn: [true]}, {outputs: [{host: a, is_ali_cdn: false}, {host: b}]}, "Alibaba's CDN: a, expected true"]
- [{push_auth: signed}, {outputs: [{host: a, signer: oss}, {host: b}, {host: ""}]}, "Push URLs without a key: b, none"]
- [{video_codec: [H.264]}, {video: {codec: AV1}}, "Video codec: AV1, expected H.264"]
- [{video_profile: [main]}, {video: {profile: high}}, "Video profile: high, expected main"]
- [{video_preset: [fast]}, {video: {preset: slow}}, "Video preset: slow, expected fast"]
- [{resolution: [720p]}, {video: {width: 720, height: 1280}}, "Resolution: portrait_720p, expected 720p"]
- [{audio_only: [false]}, {audio_only: true}, "Audio only: true, expected false"]
- [{audio_channels: [2]}, {audio: {channels: 1}}, "Audio channels: 1, expected 2"]
- - audio_sample_rate: [48000, 44100]
  - audio: {sample_rate_hertz: 8000}
  - "Audio sample rate: 8000, expected 48000 or 44100"
- - video_bitrate_kbps: {min: 800, max: 3000}
  - video: {bitrate_kbps: 3001}
  - "Video bitrate: 3001 kbit/s, expected at least 800 and at most 3000"
- [{audio_bitrate_kbps: {min: 64}}, {audio: {bitrate_kbps: 63}}, "Audio bitrate: 63 kbit/s, expected at least 64"]
- [{video_framerate: {max: 29.97}}, {video: {framerate: 30}}, "Frame rate: 30 per second, expected at most 29.97"]
- - gop_seconds: {max: 3}
  - video: {gop: 50, framerate: 14}
  - "Length of a group of pictures: 3.571 s, expected at most 3"
- [{idle_timeout_seconds: {max: 600}}, {idle_timeout_seconds: 601}, "Idle timeout: 601 s, expected at most 600"]
- [{idle_timeout_seconds: {max: 600}}, {}, "Idle timeout: none, expected at most 600 s"]
- [{panes: {min: 1}}, {video: {}}, "Panes: 0, expected at least 1"]
- [{users: {max: 2}}, {users: 3}, "Listed users: 3, expected at most 2"]
- [{outputs: {min: 1}}, {}, "Push URLs: 0, expected at least 1"]
""")
"""What is expected, a task that is otherwise, and the message about it."""


@for_each(MESSAGES, name=lambda row: row[2])
def test_a_message_says_what_is_so_and_what_was_expected(row: tuple[dict[str, Any], dict[str, Any], str]) -> None:
    """The values of the task and of the configuration are shown as they are written."""
    expected, task, text = row
    expect = Expect.model_validate(expected)
    (rule,) = expected_of(expect, RULES).rules
    assert rule.evaluate(activation(expect, **task)).outcome is Outcome.VIOLATION
    assert rule.text_for(activation(expect, **task)) == text


def test_each_key_is_one_rule() -> None:
    """Names follow from the keys; region and hosts are critical, the rest are warnings."""
    (account,) = load(EVERY_KEY, {}).config.accounts
    assert account.apps[0].expect is not None
    expectations = expected_of(account.apps[0].expect, RULES)
    assert expectations.count is not None
    rules = [compiled.rule for compiled in expectations.rules] + [expectations.count.rule]
    assert {rule.name for rule in rules} == {f"expect-{key.replace('_', '-')}" for key in Expect.model_fields}
    assert {rule.name: rule.severity for rule in rules if rule.severity is not Severity.WARNING} == {
        "expect-region": Severity.CRITICAL,
        "expect-push-hosts": Severity.CRITICAL,
    }
    assert all(rule.title.endswith(" not as expected of the app") for rule in rules)
    assert {rule.source for rule in rules} == {"app"}


def test_nothing_expected_is_no_rule() -> None:
    """An app has the rules of the keys that it states."""
    assert expected_of(Expect(), RULES) == AppRules(rules=(), count=None)
    assert [rule.rule.name for rule in expected_of(Expect(panes=Range(most=3)), RULES).rules] == ["expect-panes"]


def test_the_number_of_tasks_is_a_rule_of_its_own() -> None:
    """Its bounds show in the condition, so that other bounds are another version."""
    count = expected_of(Expect(tasks=Range(least=1.0, most=40.0)), RULES).count
    assert count is not None
    assert (count.least, count.most, count.rule.expect) == (1, 40, "tasks >= 1 && tasks <= 40")
    assert count.evaluate(0).outcome is Outcome.VIOLATION


def test_lists_have_a_longest_length() -> None:
    """Rules look at no longer list than they are measured for."""
    assert too_long_list(Expect(push_hosts=("a",) * LONGEST_LIST)) is None
    assert too_long_list(Expect(region=("b",), push_hosts=("a",) * (LONGEST_LIST + 1))) == "push_hosts"


@given(
    st.text(st.characters(), max_size=50)
    | st.sampled_from(['" || true || "', "\\", "'", "\n", "\x00", "\ud83d", "${x}", "*"])
)
def test_any_value_is_only_a_value(value: str) -> None:
    """Whatever text an owner writes equals itself alone."""
    expect = Expect.model_construct(region=(value,))
    (rule,) = expected_of(expect, RULES).rules
    assert rule.evaluate(activation(expect, region=value)).outcome is Outcome.PASS
    assert rule.evaluate(activation(expect, region=f"{value}x")).outcome is Outcome.VIOLATION


@given(st.text(st.characters(exclude_categories=["Lu", "Lt", "Cs"], exclude_characters="*?"), max_size=20))
def test_a_glob_without_wildcards_is_the_text_itself(text: str) -> None:
    """No character but `*` and `?` has a meaning."""
    assert matches_glob(text, text)
    assert not matches_glob(f"x{text}", text)
