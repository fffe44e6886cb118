"""The language of rules: what is refused at load and how it says so, and what evaluation can come to."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.policy.evaluation_reasons import reason_of
from exporter.policy.facts import facts_of_case
from exporter.policy.functions import FUNCTIONS
from exporter.policy.language import (
    MOST_SLOW,
    SLOW_SECONDS,
    SLOW_WINDOW_SECONDS,
    CompileError,
    EvaluationError,
    Language,
    StoppedError,
)

LANGUAGE = Language()
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
TASK = {
    "video": {"bitrate_kbps": 2000, "width": 1280, "height": 720},
    "outputs": [{"scheme": "rtmp", "host": "a.example.com"}],
}


def mistakes(text: str) -> list[tuple[int, int, str]]:
    """Return the mistakes of a condition."""
    with pytest.raises(CompileError) as raised:
        LANGUAGE.compile_condition(text)
    return list(raised.value.mistakes)


def value(text: str, variables: Mapping[str, Any] | None = None) -> bool | str:
    """Return what a condition comes to for the task above."""
    given_variables = {"task": facts_of_case(TASK), "now": NOW, **(variables or {})}
    return LANGUAGE.compile_condition(text).evaluate(LANGUAGE.activation(given_variables))


def reason(text: str, variables: Mapping[str, Any] | None = None) -> str:
    """Return why a condition has no value for the task above."""
    with pytest.raises(EvaluationError) as raised:
        value(text, variables)
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "line", "column", "what"),
    [
        ("task.video.bitrate <= 1", 1, 12, 'unknown field "bitrate" of task.video, did you mean "bitrate_kbps"?'),
        ("task.zzz == 1", 1, 6, 'unknown field "zzz" of task'),
        ("has(task.vido)", 1, 10, 'unknown field "vido" of task, did you mean "video"?'),
        ("has(task.video.bitrat)", 1, 16, 'unknown field "bitrat" of task.video, did you mean "bitrate_kbps"?'),
        (
            "task.panes.exists(p, p.widht > 0.5)",
            1,
            24,
            'unknown field "widht" of task.panes[], did you mean "width"?',
        ),
        ("app.quota.mixd > 1", 1, 11, 'unknown field "mixd" of app.quota, did you mean "mixed"?'),
        ("task.region == 'ä😀' || task.regio", 1, 29, 'unknown field "regio" of task, did you mean "region"?'),
        ("true &&\n\n  task.zzz", 3, 8, 'unknown field "zzz" of task'),
        ("tsk.video.codec == 'x'", 1, 1, 'unknown variable "tsk", did you mean "task"?'),
        ("true || tsk == 1", 1, 9, 'unknown variable "tsk", did you mean "task"?'),
        ("true ||\ntsk . video\n . codec == ''", 2, 1, 'unknown variable "tsk", did you mean "task"?'),
        ("region == 'x'", 1, 1, 'unknown variable "region"'),
        ("task.mix_mode.startWith('x')", 1, 15, 'unknown function "startWith", did you mean "startsWith"?'),
        ("siz(task.panes) > 1", 1, 1, 'unknown function "siz", did you mean "size"?'),
        ("task.outputs.exits(o, o.host == '')", 1, 14, 'unknown function "exits", did you mean "exists"?'),
        ("math.gratest(1, 2) > 1", 1, 1, 'unknown function "math.gratest", did you mean "math.greatest"?'),
        ("task.video.codec() == ''", 1, 12, '"codec" is no function: write it without parentheses'),
        ("now.getHours('UTC') > 1", 1, 5, "getHours() can't be called like this, but as in now.getHours()"),
        ("task.mix_mode.size", 1, 14, "a text (string) has no fields"),
        ("task.video.bitrate_kbps <= 'x'", 1, 25, '"<=" can\'t compare a number (int) with a text (string)'),
        (
            "task.video.aspect > 1",
            1,
            19,
            '">" can\'t compare a number (double) with a number (int): write 2.0 for 2, or double(…)',
        ),
        (
            "task.video.codec == null",
            1,
            18,
            '"==" can\'t compare a text (string) with null: absent values are found with has()',
        ),
        ("age > 3", 1, 5, '">" can\'t compare a duration with a number (int)'),
        ("now > '2030'", 1, 5, '">" can\'t compare a point in time (timestamp) with a text (string)'),
        ("task.pane_count + '' == ''", 1, 17, '"+" can\'t take a number (int) and a text (string)'),
        ("-task.mix_mode == ''", 1, 1, '"-" can\'t take a text (string)'),
        ("task.audio_only && 1", 1, 17, '"&&" is for conditions (true or false), not for a number (int)'),
        ("!task.mix_mode", 1, 1, '"!" is for conditions (true or false), not for a text (string)'),
        ("task.pane_count in ['a']", 1, 17, '"in" can\'t look for a number (int) in a list'),
        ("task['video'] == 1", 1, 5, "[] can't look up a text (string) in task"),
        ("task.video == {}", 1, 12, '"==" can\'t compare task.video with a map'),
        ("1 ? true : false", 1, 3, '"?" needs a condition (true or false) before it, this is a number (int)'),
        ("true ? 1 : ''", 1, 6, 'both sides of ":" must be of one type, these are a number (int) and a text (string)'),
        ("size(1) > 1", 1, 5, "size() can't take a number (int)"),
        ("has(task)", 1, 5, "has() takes a field, as in has(task.video.codec)"),
        ("task.mix_mode =~ 'x'", 1, 15, 'unexpected "=~", write matches()'),
        ("task.mix_mode = 'x'", 1, 15, 'unexpected "=", write =='),
        ("task.audio_only and true", 1, 17, 'unexpected "and", write &&'),
        ("not task.audio_only", 1, 1, 'unexpected "not", write !'),
        ("task.audio_only & true", 1, 17, 'unexpected "&", write &&'),
        ("task.audio_only true", 1, 17, 'unexpected "true"'),
        ("1 +", 1, 4, "the expression ends too early"),
        ("", 1, 1, "the expression is empty"),
        (" \n ", 2, 2, "the expression is empty"),
        ("task.mix_mode == 'abc", 1, 18, "a text that is not closed, or with a backslash that means nothing"),
        (r"task.mix_mode == '\q'", 1, 18, "a text that is not closed, or with a backslash that means nothing"),
        ("if", 1, 1, '"if" is a reserved word'),
        ("99999999999999999999 > 1", 1, 1, "a number that needs more than 64 bits"),
        ("task.video.bitrate_kbps", 1, 1, "expected a condition (true or false), this gives a number (int)"),
        ("'x'", 1, 1, "expected a condition (true or false), this gives a text (string)"),
        ("[task]", 1, 1, "expected a condition (true or false), this gives a list"),
        ("rtcmpu.Video{} == task.video", 1, 1, 'unknown variable "rtcmpu"'),
        (f"{'(' * 40}true{')' * 40}", 1, 1, "it is nested too deeply, more than 32 levels"),
        (f"1{'+1' * 300} > 1", 1, 1, "it is nested too deeply, more than 32 levels"),
        (f"true || {'x' * 10_000}", 1, 1, "an expression of 10008 characters, at most 10000 are allowed"),
        ("true ||\n '\ud83d' == ''", 2, 3, "a character that no text has (U+D83D)"),
        ("'\x00' == ''", 1, 2, "a character that no text has (U+0000)"),
    ],
)
def test_a_mistake_says_where_and_what(text: str, line: int, column: int, what: str) -> None:
    """Each kind of mistake has its place, its words and, for a name, the nearest one."""
    (mistake,) = mistakes(text)
    assert mistake[:2] == (line, column)
    assert mistake[2].startswith(what)


def test_all_mistakes_of_an_expression_are_found_at_once() -> None:
    """They stand in the order of their places; what only follows from another is left out."""
    assert mistakes("task.foo.x == 1 && task.outputs.exits(o, o.x) && tsk && task.video.gap > 1 && 'x' > 1") == [
        (1, 6, 'unknown field "foo" of task'),
        (1, 33, 'unknown function "exits", did you mean "exists"?'),
        (1, 50, 'unknown variable "tsk", did you mean "task"?'),
        (1, 68, 'unknown field "gap" of task.video, did you mean "gop"?'),
        (1, 83, '">" can\'t compare a text (string) with a number (int)'),
    ]


def test_an_error_shows_its_mistakes() -> None:
    """The text of the exception has a line for each."""
    with pytest.raises(CompileError, match=r'^1:1: unknown variable "x"\n1:6: unknown variable "z"$'):
        LANGUAGE.compile_condition("x || z")


def test_a_message_must_be_a_text() -> None:
    """What makes no text is refused as a message."""
    with pytest.raises(CompileError, match=r"expected a text \(string\), this gives a number \(int\)"):
        LANGUAGE.compile_message("task.pane_count")
    message = LANGUAGE.compile_message('"at " + string(task.video.bitrate_kbps)')
    assert message.evaluate(LANGUAGE.activation({"task": facts_of_case(TASK)})) == "at 2000"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_is_there(name: str) -> None:
    """The example of every function and macro compiles, as one side of an equation."""
    example = FUNCTIONS[name]
    assert name in example
    assert "==" in LANGUAGE.compile_condition(f"{example} == {example}").text


@pytest.mark.parametrize(
    "function",
    [name for name in FUNCTIONS if name.startswith("get")],
)
def test_no_function_takes_the_name_of_a_time_zone(function: str) -> None:
    """A name of a time zone would be looked up as a file, of any path."""
    for argument in ("'/etc/passwd'", "dyn('/etc/passwd')", "task_id"):
        with pytest.raises(CompileError, match=rf"{function}\(\) can't be called like this"):
            LANGUAGE.compile_condition(f"now.{function}({argument}) == 1")


@pytest.mark.parametrize(
    "text",
    ["file('/etc/passwd')", "env('HOME')", "http('x')", "open('x')", "import os", "os.environ", "__import__('os')"],
)
def test_nothing_reaches_outside(text: str) -> None:
    """There is no function and no variable but those of the vocabulary and of CEL."""
    with pytest.raises(CompileError):
        LANGUAGE.compile_condition(f"{text} == ''")


def test_an_expression_knows_the_variables_that_it_uses() -> None:
    """A variable counts that is named, not one that a macro's own name hides, and not a text."""
    uses = {
        "task.audio_only": {"task"},
        "now - first_seen > age && task_id == channel_id": {"now", "first_seen", "age", "task_id", "channel_id"},
        "task.panes.exists(now, now.x > 0.5) || 'app' == 'age'": {"task"},
        "shared_outputs > 0 || app.owner == '' || last_changed > now": {"shared_outputs", "app", "last_changed", "now"},
        "true": set(),
    }
    assert {text: LANGUAGE.compile_condition(text).uses for text in uses} == uses


def test_values_are_what_the_variables_say() -> None:
    """Conditions over each kind of variable come to true and false."""
    assert value("task.video.bitrate_kbps <= 3000") is True
    assert value("task.video.bitrate_kbps <= 3000 && task.video.resolution == '480p'") is False
    assert value("now - age < now && age > duration('1h')", {"age": timedelta(hours=2)}) is True
    assert value("app.quota.mixed >= 40", {"app": {"quota": {"mixed": 40}}}) is True
    assert value("task_id.matches('^live-[0-9]+$')", {"task_id": "live-12"}) is True


def test_half_characters_of_an_id_do_no_harm() -> None:
    """They are question marks in rules."""
    assert value("task_id == 'x?'", {"task_id": "x\ud83d"}) is True


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("task.idle_timeout_seconds > 5", "task has no idle_timeout_seconds here: guard it with has()"),
        ("task.video.codec == 'x'", "task.video has no codec here: guard it with has()"),
        ("task.audio.bitrate_kbps > 5", "task.audio has no bitrate_kbps here: guard it with has()"),
        ("task.sei.payload_type > 5", "task has no sei here: guard it with has()"),
        ("task.outputs.all(o, o.is_ali_cdn)", "task.outputs[] has no is_ali_cdn here: guard it with has()"),
        ("dyn(task).foo == 1", "there is no foo here: guard it with has()"),
        ("{'a': 1}['b\"\\n'] > 1", 'there is no b"\\n here: guard it with has()'),
        ("{1: 2}[task.pane_count] > 1", "there is no 0 here: guard it with has()"),
        ("task.panes[2].z_order == 1", "there is no item 2 in a list of 0: guard it with size()"),
        ("task.video.bitrate_kbps / task.pane_count > 1", "it divides by 0: guard it with a condition"),
        ("task.video.bitrate_kbps % task.pane_count > 1", "it divides by 0: guard it with a condition"),
        ("9223372036854775807 + task.video.width > 1", "a number leaves the range of 64 bits"),
        ("dyn(task.mix_mode) > 1", '">" can\'t compare a text (string) with a number (int)'),
        ("task_id == ''", "no task_id is given here"),
        ("int(task.mix_mode) > 1", "cannot convert string to int"),
        ("task.mix_mode.matches('(')", "invalid regular expression: missing ): ("),
        ("{1: 2, 1: 3} == {}", "duplicate key in map"),
        ("dyn(task.mix_mode)", "expected a condition (true or false), this gives a text (string)"),
        ("dyn(task.panes)", "expected a condition (true or false), this gives a list"),
    ],
)
def test_what_has_no_value_says_why_in_one_line(text: str, why: str) -> None:
    """An absent field is named with what it is absent from; other reasons are in plain words."""
    assert reason(text) == why


def test_an_expensive_expression_is_stopped() -> None:
    """Loops within loops end at the budget, soon, and the reason says so."""
    numbers = list(range(120))
    loops = f"{numbers}.all(a, {numbers}.all(b, a + b >= 0))"
    assert reason(loops) == "the expression was stopped: it takes too many steps (more than 10,000)"


class _Ticks:
    """A clock that moves on by itself, so far at each look."""

    def __init__(self, step: float) -> None:
        self.step = step
        self._now = 0.0

    def __call__(self) -> float:
        self._now += self.step
        return self._now


def test_an_expression_that_is_slow_again_and_again_is_stopped() -> None:
    """It has a value a few times, then a reason; other expressions are still evaluated."""
    ticks = _Ticks(2 * SLOW_SECONDS)
    language = Language(ticks, _Ticks(1.0))
    slow, other = language.compile_condition("true"), language.compile_condition("task_id == 'a'")
    activation = language.activation({"task_id": "a"})
    assert [slow.evaluate(activation) for _ in range(MOST_SLOW)] == [True] * MOST_SLOW
    assert slow.stopped
    ticks.step = 0.0
    with pytest.raises(StoppedError, match=r"^stopped: it took over 0\.25 s 3 times within 10 minutes$"):
        slow.evaluate(activation)
    assert other.evaluate(activation) is True


def test_an_expression_that_fails_slowly_is_stopped_too() -> None:
    """A failed evaluation costs as much as one that has a value."""
    language = Language(_Ticks(2 * SLOW_SECONDS), _Ticks(1.0))
    failing = language.compile_condition("task.video.gop > 1")
    for _ in range(MOST_SLOW):
        with pytest.raises(EvaluationError, match="has no gop here"):
            failing.evaluate(language.activation({"task": facts_of_case({})}))
    assert failing.stopped


@pytest.mark.parametrize(("cpu_seconds", "between"), [(SLOW_SECONDS, 0.0), (2 * SLOW_SECONDS, SLOW_WINDOW_SECONDS)])
def test_slow_evaluations_far_apart_and_fast_ones_never_stop_an_expression(cpu_seconds: float, between: float) -> None:
    """Three stalls in a year are no reason to stop a rule, and neither is any number of fast evaluations."""
    language = Language(_Ticks(cpu_seconds), _Ticks(between))
    expression = language.compile_condition("true")
    assert all(expression.evaluate(language.activation({})) for _ in range(50))


def test_time_that_others_use_does_not_count() -> None:
    """Evaluations are measured in CPU time of their own thread."""
    assert Language.__init__.__defaults__ == (time.thread_time, time.monotonic)


def test_a_lack_of_memory_is_said_in_words() -> None:
    """What the library says where memory ends is not for people."""
    assert reason_of("std::bad_alloc", "true") == "the expression was stopped: it needs too much memory"


def test_an_expression_shows_its_text() -> None:
    """For those who look at it in a debugger or a failing test."""
    assert repr(LANGUAGE.compile_condition("true")) == "Expression('true')"


WORDS = (
    "task",
    "task.",
    "video",
    ".video",
    "codec",
    ".bitrat",
    "tsk",
    "o",
    "now",
    "age",
    "app.",
    "1",
    "2.5",
    "9u",
    "'ä😀'",
)
CALLS = ("has(", "size(", "math.", "exists(o,", ".all(o,", "null", "true", "if", "in", "99999999999999999999")
SIGNS = (*"()[]{}.,?:+-/!&='\"\\@`<\n\t", "&&", "||", "==", "!=", "<=", "//")
TOKENS = st.sampled_from(WORDS + CALLS + SIGNS)


def mistakes_if_any(text: str) -> list[tuple[int, int, str]]:
    """Return the mistakes of a text, none if it is a condition."""
    try:
        LANGUAGE.compile_condition(text)
    except CompileError as error:
        return list(error.mistakes) or [(0, 0, "")]
    return []


@settings(max_examples=300, deadline=None)
@given(st.lists(TOKENS, max_size=12).map(" ".join) | st.text(st.characters(), max_size=30))
def test_any_text_compiles_or_says_what_is_wrong(text: str) -> None:
    """Whatever is written, no other error comes of it, and places are within the text."""
    lines = text.split("\n")
    for line, column, what in mistakes_if_any(text):
        assert what
        assert "\n" not in what
        assert 1 <= line <= len(lines)
        assert 1 <= column <= len(lines[line - 1]) + 1
