"""An app's `expect:` as rules, which are written in CEL as any other.

A rule's name, title and severity are the same for all apps; what an app expects stands in the expression and in the
message. A task that has no part of what is spoken of is not judged:

- video is that of tasks that are not audio-only;
- a push URL of which nothing says whether it is Alibaba's own CDN is left out of `ali_cdn`;
- `users` is about tasks that list users, since those that list none mix all;
- `panes` is about tasks with EncodeParams that are not audio-only, as the metric is: one without a layout has 0;
- a number that can't be read is not judged, while a name that can't be is none of the expected;
- a missing idle timeout is over any `max`, since it never ends, and has no part of `min` alone.

Names are compared without regard to case. `tasks` is about the app, not about one of its tasks.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from exporter.config.policy_model import Expect, Range
from exporter.policy.cel_text import glob_pattern, list_of, literal, lower
from exporter.policy.compiled import CompiledRule, TaskCountRule, compile_rule
from exporter.policy.language import Language
from exporter.policy.rule import Rule, Severity

SOURCE: Final = "app"

MOST_COST: Final = 10**10
"""A list of hosts is one long pattern, which is cheap for the few URLs that tasks have."""

_HAS_VIDEO: Final = "task.has_encode_params && !task.audio_only"
_SHOWN_HOST: Final = 'o.host == "" ? "none" : o.host'
_SHOWN_SCHEME: Final = 'o.scheme == "" ? "none" : o.scheme'


class AppExpectations(Struct, frozen=True):
    """What one app's owner expects."""

    rules: tuple[CompiledRule, ...] = ()
    count: TaskCountRule | None = None
    """About the number of tasks."""


class _OneOf(Struct, frozen=True):
    """An expectation that a fact is one of a list."""

    key: str
    subject: str
    fact: str
    when: str = ""
    severity: Severity = Severity.WARNING


class _EachOutput(Struct, frozen=True):
    """An expectation that each push URL, `o`, has one of a list."""

    key: str
    subject: str
    when: str
    shown: str = _SHOWN_HOST
    severity: Severity = Severity.WARNING


class _Within(Struct, frozen=True):
    """An expectation that a number is within a range."""

    key: str
    subject: str
    fact: str
    when: str = ""
    unit: str = ""
    is_whole: bool = True


def _video(key: str, subject: str, fact: str) -> _OneOf:
    """Return an expectation about a fact of the video part."""
    return _OneOf(key, subject, fact, f"!task.audio_only && has({fact})")


_HAS_OUTPUTS: Final = "size(task.outputs) > 0"
_READABLE_OUTPUTS: Final = '["StreamURL", "MultiStreamURL", "MultiStreamURL.URL"].all(f, !(f in task.field_errors))'
_READABLE_LAYOUT: Final = '["Layout", "UserPanes"].all(f, !(f in task.field_errors))'

_LISTS: Final = (
    _OneOf("region", "Region", "task.region", "has(task.region)", Severity.CRITICAL),
    _OneOf("mix_mode", "Mode", "task.mix_mode"),
    _video("video_codec", "Video codec", "task.video.codec"),
    _video("video_profile", "Video profile", "task.video.profile"),
    _video("video_preset", "Video preset", "task.video.preset"),
    _video("resolution", "Resolution", "task.video.resolution"),
    _OneOf(
        "audio_only",
        "Audio only",
        "task.audio_only",
        'task.has_encode_params && !("EncodeParams.AudioOnly" in task.field_errors)',
    ),
    _OneOf("audio_channels", "Audio channels", "task.audio.channels", "has(task.audio.channels)"),
    _OneOf(
        "audio_sample_rate", "Audio sample rate", "task.audio.sample_rate_hertz", "has(task.audio.sample_rate_hertz)"
    ),
)
_OUTPUTS: Final = (
    _EachOutput("push_hosts", "Push hosts", _HAS_OUTPUTS, severity=Severity.CRITICAL),
    _EachOutput("push_schemes", "Push schemes", _HAS_OUTPUTS, _SHOWN_SCHEME),
    _EachOutput("ali_cdn", "Alibaba's CDN", "task.outputs.exists(o, has(o.is_ali_cdn))"),
)
_RANGES: Final = (
    _Within(
        "video_bitrate_kbps",
        "Video bitrate",
        "task.video.bitrate_kbps",
        "!task.audio_only && has(task.video.bitrate_kbps)",
        "kbit/s",
    ),
    _Within("audio_bitrate_kbps", "Audio bitrate", "task.audio.bitrate_kbps", "has(task.audio.bitrate_kbps)", "kbit/s"),
    _Within(
        "video_framerate",
        "Frame rate",
        "task.video.framerate",
        "!task.audio_only && has(task.video.framerate)",
        "per second",
    ),
    _Within(
        "gop_seconds",
        "Length of a group of pictures",
        "task.video.gop_seconds",
        "!task.audio_only && has(task.video.gop_seconds)",
        "s",
        is_whole=False,
    ),
    _Within("panes", "Panes", "task.pane_count", f"{_HAS_VIDEO} && {_READABLE_LAYOUT}"),
    _Within("users", "Listed users", "task.users", 'has(task.users) && !("UserInfos" in task.field_errors)'),
    _Within("outputs", "Push URLs", "size(task.outputs)", _READABLE_OUTPUTS),
)
_IDLE: Final = _Within(
    "idle_timeout_seconds", "Idle timeout", "task.idle_timeout_seconds", "has(task.idle_timeout_seconds)", "s"
)
_TASKS: Final = _Within("tasks", "Number of tasks", "tasks")


def expectation_rules(expect: Expect, language: Language) -> AppExpectations:
    """Return the rules that follow from what an app's owner expects.

    Raises:
        RuleError: A list is too long for one expression.
    """
    rules = tuple(compile_rule(rule, language, most_cost=MOST_COST) for rule in _rules(expect))
    return AppExpectations(rules, None if expect.tasks is None else _count(expect.tasks))


def _count(bounds: Range) -> TaskCountRule:
    """Return the rule about the number of tasks, whose condition is for people alone."""
    least, most = (None if bound is None else int(bound) for bound in (bounds.least, bounds.most))
    return TaskCountRule(_rule(_TASKS.key, _TASKS.subject, expect=_in_range(_TASKS, bounds)), least, most)


def _rules(expect: Expect) -> Iterator[Rule]:
    """Yield the rules about tasks."""
    for entry in _LISTS:
        if (allowed := getattr(expect, entry.key)) is not None:
            yield _one_of(entry, allowed)
    for output in _OUTPUTS:
        if (allowed := getattr(expect, output.key)) is not None:
            yield _each_output(output, allowed)
    for within in _RANGES:
        if (bounds := getattr(expect, within.key)) is not None:
            yield _within(within, bounds)
    if expect.idle_timeout_seconds is not None:
        yield _idle_timeout(expect.idle_timeout_seconds)


def _one_of(entry: _OneOf, allowed: tuple[str | int | bool, ...]) -> Rule:
    """Return the rule that a fact is one of a list."""
    is_text = any(isinstance(value, str) for value in allowed)
    fact = f"{entry.fact}.lowerAscii()" if is_text else entry.fact
    return _rule(
        entry.key,
        entry.subject,
        severity=entry.severity,
        when=entry.when,
        expect=f"{fact} in {_comparable(allowed)}",
        message=f"{literal(f'{entry.subject}: ')} + string({entry.fact}) + {literal(f', expected {_listed(allowed)}')}",
    )


def _each_output(entry: _EachOutput, allowed: tuple[str | bool, ...]) -> Rule:
    """Return the rule that each push URL is as the list says."""
    match entry.key:
        case "push_hosts":
            fits = f"o.host.matches({literal(glob_pattern(map(str, allowed)))})"
        case "push_schemes":
            fits = f"(o.scheme in {_comparable(allowed)})"
        case _:
            fits = f"(!has(o.is_ali_cdn) || o.is_ali_cdn in {_comparable(allowed)})"
    unfit = f'task.outputs.filter(o, !{fits}).map(o, {entry.shown}).join(", ")'
    return _rule(
        entry.key,
        entry.subject,
        severity=entry.severity,
        when=entry.when,
        expect=f"task.outputs.all(o, {fits})",
        message=f"{literal(f'{entry.subject}: ')} + {unfit} + {literal(f', expected {_listed(allowed)}')}",
    )


def _within(entry: _Within, bounds: Range) -> Rule:
    """Return the rule that a number is within a range."""
    return _rule(
        entry.key,
        entry.subject,
        when=entry.when,
        expect=_in_range(entry, bounds),
        message=_range_message(entry, bounds),
    )


def _idle_timeout(bounds: Range) -> Rule:
    """Return the rule about the idle timeout: a missing one is over any maximum, an unreadable one is not judged."""
    within = _within(_IDLE, bounds)
    if bounds.most is None:
        return within
    missing = f"{_IDLE.subject}: none, expected {_range_in_words(bounds)} {_IDLE.unit}"
    return _rule(
        _IDLE.key,
        _IDLE.subject,
        when=f'{_IDLE.when} || !("MaxIdleTime" in task.field_errors)',
        expect=f"{_IDLE.when} && {within.expect}",
        message=f"{_IDLE.when} ? {within.message} : {literal(missing)}",
    )


def _in_range(entry: _Within, bounds: Range) -> str:
    """Return the condition that a number is within bounds."""
    return " && ".join(
        _compared(entry, operator, bound)
        for operator, bound in ((">=", bounds.least), ("<=", bounds.most))
        if bound is not None
    )


def _compared(entry: _Within, operator: str, bound: float) -> str:
    """Return the condition that a number is on the right side of a bound, both of one type."""
    if not entry.is_whole:
        return f"{entry.fact} {operator} {literal(float(bound))}"
    fact = entry.fact if float(bound).is_integer() else f"double({entry.fact})"
    return f"{fact} {operator} {_number(bound)}"


def _range_message(entry: _Within, bounds: Range) -> str:
    """Return the expression of the message about a number out of bounds."""
    unit = f" {entry.unit}" if entry.unit else ""
    expected = f"{unit}, expected {_range_in_words(bounds)}"
    shown = entry.fact if entry.is_whole else f"math.round({entry.fact} * 1000.0) / 1000.0"
    return f"{literal(f'{entry.subject}: ')} + string({shown}) + {literal(expected)}"


def _range_in_words(bounds: Range) -> str:
    """Return what a range allows."""
    return " and ".join(
        f"{words} {_number(bound)}"
        for words, bound in (("at least", bounds.least), ("at most", bounds.most))
        if bound is not None
    )


def _number(bound: float) -> str:
    """Return a bound as CEL and people write it, without a fraction where it has none."""
    return literal(int(bound) if float(bound).is_integer() else bound)


def _comparable(allowed: tuple[str | int | bool, ...]) -> str:
    """Return the list of allowed values, texts in lower case."""
    return list_of(lower(value) if isinstance(value, str) else value for value in allowed)


def _listed(allowed: tuple[str | int | bool, ...]) -> str:
    """Return the allowed values for people."""
    return " or ".join(str(value).lower() if isinstance(value, bool) else str(value) for value in allowed)


def _rule(
    key: str,
    subject: str,
    *,
    severity: Severity = Severity.WARNING,
    when: str = "",
    expect: str = "",
    message: str = "",
) -> Rule:
    """Return the rule of one key."""
    return Rule(
        name=f"expect-{key.replace('_', '-')}",
        title=f"{subject} not as expected of the app",
        severity=severity,
        when=when,
        expect=expect,
        message=message,
        reason="The app's owner has written down what is expected.",
        remedy="Change the task, or what the configuration expects of the app.",
        source=SOURCE,
    )
