"""What an app's owner expects, as rules."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config.policy_model import Expect, Range
from exporter.policy.cel_text import glob_pattern, literal
from exporter.policy.compiled import CompiledRule, RuleError
from exporter.policy.expectations import AppExpectations, expectation_rules
from exporter.policy.facts import facts_of_case, fit_text
from exporter.policy.language import Language
from exporter.policy.rule import Outcome, Severity

LANGUAGE = Language()
PASS, VIOLATION, NOT_APPLICABLE = Outcome.PASS, Outcome.VIOLATION, Outcome.NOT_APPLICABLE

EVERYTHING = Expect(
    region=("CN-Shanghai",),
    mix_mode=("mixed",),
    push_hosts=("*.example.com",),
    push_schemes=("rtmps",),
    ali_cdn=(False,),
    video_codec=("H.264",),
    video_profile=("main", "high"),
    video_preset=("fast",),
    resolution=("720p",),
    audio_only=(False,),
    audio_channels=(2,),
    audio_sample_rate=(48000,),
    video_bitrate_kbps=Range(least=800, most=3000),
    audio_bitrate_kbps=Range(least=64),
    video_framerate=Range(most=29.97),
    gop_seconds=Range(least=1, most=4),
    idle_timeout_seconds=Range(most=600),
    panes=Range(least=1, most=9),
    users=Range(most=16),
    outputs=Range(least=1),
    tasks=Range(least=1, most=40),
)


def rules_of(**expected: Any) -> tuple[CompiledRule, ...]:
    """Return the rules of an app that expects this alone."""
    return expectation_rules(Expect.model_construct(**expected), LANGUAGE).rules


def outcome(expected: dict[str, Any], **task: Any) -> tuple[Outcome, str]:
    """Return what comes of one expectation for a task, and the text that people see."""
    (rule,) = rules_of(**expected)
    activation = LANGUAGE.activation({"task": facts_of_case(task)})
    verdict = rule.judge(activation)
    assert verdict.outcome is not Outcome.ERROR, verdict.reason
    return verdict.outcome, rule.text_for(activation) if verdict.outcome is VIOLATION else ""


def push(host: str, scheme: str = "rtmp", **more: bool) -> dict[str, Any]:
    """Return an output as a case gives it."""
    return {"host": host, "scheme": scheme, **more}


CASES: list[tuple[dict[str, Any], dict[str, Any], Outcome, str]] = [
    ({"region": ("cn-shanghai",)}, {"region": "CN-Shanghai"}, PASS, ""),
    (
        {"region": ("CN-Shanghai", "EMAA-Saudi")},
        {"region": "AP-Singapore"},
        VIOLATION,
        "Region: AP-Singapore, expected CN-Shanghai or EMAA-Saudi",
    ),
    ({"region": ("CN-Shanghai",)}, {}, NOT_APPLICABLE, ""),
    ({"mix_mode": ("mixed",)}, {"mix_mode": "single"}, VIOLATION, "Mode: single, expected mixed"),
    ({"mix_mode": ("single", "mixed")}, {}, PASS, ""),
    ({"push_hosts": ("*.Example.com", "a?")}, {"outputs": [push("x.y.example.com"), push("ab")]}, PASS, ""),
    (
        {"push_hosts": ("*.example.com",)},
        {"outputs": [push("a.example.com"), push("example.com"), push("a.example.com.evil")]},
        VIOLATION,
        "Push hosts: example.com, a.example.com.evil, expected *.example.com",
    ),
    (
        {"push_hosts": ("a.example",)},
        {"outputs": [push("axexample")]},
        VIOLATION,
        "Push hosts: axexample, expected a.example",
    ),
    ({"push_hosts": ("a",)}, {"outputs": [push("")]}, VIOLATION, "Push hosts: none, expected a"),
    ({"push_hosts": ("*",)}, {}, NOT_APPLICABLE, ""),
    ({"push_schemes": ("rtmps", "srt")}, {"outputs": [push("a", "srt")]}, PASS, ""),
    (
        {"push_schemes": ("rtmps", "srt")},
        {"outputs": [push("a", "srt"), push("a", "rtmp")]},
        VIOLATION,
        "Push schemes: rtmp, expected rtmps or srt",
    ),
    ({"push_schemes": ("rtmps",)}, {"outputs": [push("a", "")]}, VIOLATION, "Push schemes: none, expected rtmps"),
    ({"push_schemes": ("rtmps",)}, {}, NOT_APPLICABLE, ""),
    ({"ali_cdn": (True,)}, {"outputs": [push("a"), push("b", is_ali_cdn=True)]}, PASS, ""),
    (
        {"ali_cdn": (True,)},
        {"outputs": [push("a", is_ali_cdn=False), push("b")]},
        VIOLATION,
        "Alibaba's CDN: a, expected true",
    ),
    ({"ali_cdn": (True,)}, {"outputs": [push("a")]}, NOT_APPLICABLE, ""),
    ({"video_codec": ("h.264",)}, {"video": {"codec": "H.264"}}, PASS, ""),
    ({"video_codec": ("H.264",)}, {"video": {"codec": "AV1"}}, VIOLATION, "Video codec: AV1, expected H.264"),
    ({"video_codec": ("H.264",)}, {"video": {"codec": "AV1"}, "audio_only": True}, NOT_APPLICABLE, ""),
    ({"video_codec": ("H.264",)}, {"video": {}}, NOT_APPLICABLE, ""),
    ({"video_profile": ("main",)}, {"video": {"profile": "high"}}, VIOLATION, "Video profile: high, expected main"),
    ({"video_preset": ("fast",)}, {"video": {"preset": "slow"}}, VIOLATION, "Video preset: slow, expected fast"),
    ({"resolution": ("720p",)}, {"video": {"width": 1280, "height": 720}}, PASS, ""),
    (
        {"resolution": ("720p",)},
        {"video": {"width": 720, "height": 1280}},
        VIOLATION,
        "Resolution: portrait_720p, expected 720p",
    ),
    ({"resolution": ("other",)}, {"video": {"width": 7, "height": 7}}, PASS, ""),
    ({"resolution": ("720p",)}, {"video": {"width": 7}}, NOT_APPLICABLE, ""),
    ({"audio_only": (False,)}, {"audio_only": True}, VIOLATION, "Audio only: true, expected false"),
    ({"audio_only": (True, False)}, {"audio_only": True}, PASS, ""),
    ({"audio_only": (True,)}, {}, NOT_APPLICABLE, ""),
    ({"audio_only": (True,)}, {"video": {}, "field_errors": ["EncodeParams.AudioOnly"]}, NOT_APPLICABLE, ""),
    ({"audio_channels": (1, 2)}, {"audio": {"channels": 2}}, PASS, ""),
    ({"audio_channels": (2,)}, {"audio": {"channels": 1}}, VIOLATION, "Audio channels: 1, expected 2"),
    ({"audio_channels": (2,)}, {"audio": {}}, NOT_APPLICABLE, ""),
    (
        {"audio_sample_rate": (48000, 44100)},
        {"audio": {"sample_rate_hertz": 8000}},
        VIOLATION,
        "Audio sample rate: 8000, expected 48000 or 44100",
    ),
    ({"video_bitrate_kbps": Range(least=800, most=3000)}, {"video": {"bitrate_kbps": 800}}, PASS, ""),
    ({"video_bitrate_kbps": Range(least=800, most=3000)}, {"video": {"bitrate_kbps": 3000}}, PASS, ""),
    (
        {"video_bitrate_kbps": Range(least=800.0, most=3000.0)},
        {"video": {"bitrate_kbps": 3001}},
        VIOLATION,
        "Video bitrate: 3001 kbit/s, expected at least 800 and at most 3000",
    ),
    ({"video_bitrate_kbps": Range(least=9)}, {"video": {"bitrate_kbps": 1}, "audio_only": True}, NOT_APPLICABLE, ""),
    (
        {"audio_bitrate_kbps": Range(least=64)},
        {"audio": {"bitrate_kbps": 63}, "audio_only": True},
        VIOLATION,
        "Audio bitrate: 63 kbit/s, expected at least 64",
    ),
    (
        {"video_framerate": Range(most=29.97)},
        {"video": {"framerate": 30}},
        VIOLATION,
        "Frame rate: 30 per second, expected at most 29.97",
    ),
    ({"video_framerate": Range(most=29.97)}, {"video": {"framerate": 29}}, PASS, ""),
    (
        {"gop_seconds": Range(most=4)},
        {"video": {"gop": 100, "framerate": 20}},
        VIOLATION,
        "Length of a group of pictures: 5 s, expected at most 4",
    ),
    (
        {"gop_seconds": Range(most=3)},
        {"video": {"gop": 50, "framerate": 14}},
        VIOLATION,
        "Length of a group of pictures: 3.571 s, expected at most 3",
    ),
    ({"gop_seconds": Range(most=4)}, {"video": {"gop": 100, "framerate": 25}}, PASS, ""),
    ({"gop_seconds": Range(most=4)}, {"video": {"gop": 100}}, NOT_APPLICABLE, ""),
    ({"idle_timeout_seconds": Range(most=600)}, {"idle_timeout_seconds": 600}, PASS, ""),
    (
        {"idle_timeout_seconds": Range(most=600)},
        {"idle_timeout_seconds": 601},
        VIOLATION,
        "Idle timeout: 601 s, expected at most 600",
    ),
    (
        {"idle_timeout_seconds": Range(least=5, most=600)},
        {"idle_timeout_seconds": 4},
        VIOLATION,
        "Idle timeout: 4 s, expected at least 5 and at most 600",
    ),
    ({"idle_timeout_seconds": Range(most=600)}, {}, VIOLATION, "Idle timeout: none, expected at most 600 s"),
    ({"idle_timeout_seconds": Range(most=600)}, {"field_errors": ["MaxIdleTime"]}, NOT_APPLICABLE, ""),
    ({"idle_timeout_seconds": Range(least=5)}, {}, NOT_APPLICABLE, ""),
    ({"idle_timeout_seconds": Range(least=5)}, {"idle_timeout_seconds": 5}, PASS, ""),
    ({"panes": Range(least=1)}, {"video": {}}, VIOLATION, "Panes: 0, expected at least 1"),
    ({"panes": Range(most=1)}, {"video": {}, "panes": [{}, {}]}, VIOLATION, "Panes: 2, expected at most 1"),
    ({"panes": Range(most=2)}, {"video": {}, "panes": [{}, {}]}, PASS, ""),
    ({"panes": Range(least=1)}, {"audio_only": True}, NOT_APPLICABLE, ""),
    ({"panes": Range(least=1)}, {}, NOT_APPLICABLE, ""),
    ({"panes": Range(least=1)}, {"video": {}, "field_errors": ["UserPanes"]}, NOT_APPLICABLE, ""),
    ({"users": Range(most=2)}, {"users": 3}, VIOLATION, "Listed users: 3, expected at most 2"),
    ({"users": Range(most=2)}, {}, NOT_APPLICABLE, ""),
    ({"users": Range(most=2)}, {"users": 3, "field_errors": ["UserInfos"]}, NOT_APPLICABLE, ""),
    ({"outputs": Range(least=1)}, {}, VIOLATION, "Push URLs: 0, expected at least 1"),
    ({"outputs": Range(most=1)}, {"outputs": [push("a")]}, PASS, ""),
    ({"outputs": Range(least=1)}, {"field_errors": ["StreamURL"]}, NOT_APPLICABLE, ""),
]


@pytest.mark.parametrize(("expected", "task", "comes", "text"), CASES)
def test_each_expectation_judges_what_it_is_about(
    expected: dict[str, Any], task: dict[str, Any], comes: Outcome, text: str
) -> None:
    """What a task has no part of does not apply; the text says what is so and what was expected."""
    assert outcome(expected, **task) == (comes, text)


def test_each_key_is_one_rule() -> None:
    """Names follow from the keys; region and hosts are critical, the rest are warnings."""
    expectations = expectation_rules(EVERYTHING, LANGUAGE)
    assert expectations.count is not None
    rules = [compiled.rule for compiled in expectations.rules] + [expectations.count.rule]
    assert {rule.name for rule in rules} == {f"expect-{key.replace('_', '-')}" for key in Expect.model_fields}
    assert {rule.name for rule in rules if rule.severity is not Severity.WARNING} == {
        "expect-region",
        "expect-push-hosts",
    }
    assert all(
        rule.severity is Severity.CRITICAL for rule in rules if rule.name in {"expect-region", "expect-push-hosts"}
    )
    assert all(compiled.uses == {"task"} for compiled in expectations.rules)
    assert {rule.source for rule in rules} == {"app"}


def test_nothing_expected_is_no_rule() -> None:
    """A key that is left out says nothing."""
    assert expectation_rules(Expect(), LANGUAGE) == AppExpectations(rules=(), count=None)


def test_all_apps_share_what_stands_in_labels() -> None:
    """Title, severity, reason and remedy are the same, whatever an app expects."""
    (one,), (other,) = rules_of(region=("CN-Shanghai",)), rules_of(region=("EMAA-Saudi",))
    shared = ("name", "title", "severity", "owner", "runbook_url", "reason", "remedy", "source")
    assert [getattr(one.rule, key) for key in shared] == [getattr(other.rule, key) for key in shared]
    assert one.rule.version != other.rule.version


def test_titles_say_what_is_wrong() -> None:
    """They stand beside violations, as those of all rules do."""
    expectations = expectation_rules(EVERYTHING, LANGUAGE)
    assert expectations.count is not None
    rules = [*(compiled.rule for compiled in expectations.rules), expectations.count.rule]
    assert rules[0].title == "Region not as expected of the app"
    assert all(rule.title.endswith(" not as expected of the app") for rule in rules)


def test_the_number_of_tasks_is_a_rule_of_its_own() -> None:
    """Its bounds show in the condition, so that other bounds are another version."""
    count = expectation_rules(Expect(tasks=Range(least=1.0, most=40.0)), LANGUAGE).count
    assert count is not None
    assert (count.least, count.most, count.rule.expect) == (1, 40, "tasks >= 1 && tasks <= 40")
    assert count.judge(0).outcome is VIOLATION


def test_many_hosts_can_be_expected() -> None:
    """A fleet may push to hundreds."""
    assert rules_of(push_hosts=tuple(f"push{number}.example.com" for number in range(150)))


def test_a_list_that_is_too_long_is_refused() -> None:
    """An expression has a longest length, also one that was made."""
    with pytest.raises(RuleError, match="at most 10000 are allowed"):
        rules_of(region=tuple(f"region-{number}" for number in range(2000)))


@settings(deadline=None)
@given(
    st.text(st.characters(), max_size=50)
    | st.sampled_from(['" || true || "', "\\", "'", "\n", "\x00", "\ud83d", "${x}", "*"])
)
def test_any_value_is_only_a_value(value: str) -> None:
    """Whatever text an owner writes, the rules compile, and it equals itself alone."""
    region, hosts = rules_of(region=(value,), push_hosts=(value,))
    same = LANGUAGE.activation({"task": facts_of_case({"region": value})})
    another = LANGUAGE.activation({"task": facts_of_case({"region": f"{value}x", "outputs": [push(f"{value}\n")]})})
    assert region.judge(same).outcome is PASS
    assert region.judge(another).outcome is VIOLATION
    if "*" not in value:
        assert hosts.judge(another).outcome is VIOLATION
    shown = fit_text(value)
    assert region.text_for(another) == " ".join(f"Region: {shown}x, expected {shown}".split())


@settings(deadline=None)
@given(st.text(st.characters(), max_size=99))
def test_a_literal_is_the_text_itself(text: str) -> None:
    """The text comes back as a rule would see it in a task."""
    activation = LANGUAGE.activation({"task_id": text})
    assert LANGUAGE.compile_condition(f"task_id == {literal(text)}").evaluate(activation) is True


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Lu", "Lt", "Cs"], exclude_characters="*?"), max_size=20))
def test_a_glob_without_wildcards_is_the_text_itself(text: str) -> None:
    """No character but `*` and `?` means anything but itself."""
    matches = LANGUAGE.compile_condition(f"task_id.matches({literal(glob_pattern([text]))})")
    assert matches.evaluate(LANGUAGE.activation({"task_id": text})) is True
    assert matches.evaluate(LANGUAGE.activation({"task_id": f"x{text}"})) is False
