"""The language of rules: what is refused at load and how it says so, and what evaluation can come to."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.rules.cel_language import (
    FUNCTIONS,
    MOST_SLOW,
    SLOW_SECONDS,
    SLOW_WINDOW_SECONDS,
    Clocks,
    CompileError,
    EvaluationError,
    activation_of,
    compile_condition,
    compile_message,
)
from exporter.rules.facts import LONGEST_LIST, facts_of_case, without_long_lists
from tests.support.generated import examples
from tests.support.subtests import for_each

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
TASK = {
    "video": {"bitrate_kbps": 2000, "width": 1280, "height": 720},
    "outputs": [{"scheme": "rtmp", "host": "a.example.com"}],
}


def mistakes(text: str) -> list[tuple[int, int, str]]:
    """Return the mistakes of a condition."""
    with pytest.raises(CompileError) as raised:
        compile_condition(text)
    return list(raised.value.mistakes)


def value(text: str, variables: Mapping[str, Any] | None = None) -> bool | str:
    """Return what a condition comes to for the task above."""
    given_variables = {"task": facts_of_case(TASK), "now": NOW, **(variables or {})}
    return compile_condition(text).evaluate(activation_of(given_variables))


def reason(text: str, variables: Mapping[str, Any] | None = None) -> str:
    """Return why a condition has no value for the task above."""
    with pytest.raises(EvaluationError) as raised:
        value(text, variables)
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "line", "column", "what"),
    [
        ("task.video.bitrate <= 1", 1, 11, "struct 'Video', did you mean \"bitrate_kbps\"?"),
        ("task.zzz == 1", 1, 5, "'zzz' not found in struct 'Task'"),
        ("has(task.vido)", 1, 4, "'vido' not found in struct 'Task', did you mean \"video\"?"),
        ("task.panes.exists(p, p.widht > 0.5)", 1, 23, "struct 'Pane', did you mean \"width\"?"),
        ("task.video.gop > 1 && task.outputs.all(o, o.hots == '')", 1, 44, 'did you mean "host"?'),
        ("task.video.bitrat > 1 || true", 1, 11, 'did you mean "bitrate_kbps"?'),
        ("task.region == 'ä😀' || task.regio", 1, 28, 'did you mean "region"?'),
        ("true &&\n\n  task.zzz", 3, 7, "'zzz' not found"),
        ("tsk.video.codec == 'x'", 1, 10, "undeclared reference to 'tsk.video.codec', did you mean \"task\"?"),
        ("task.mix_mode.startWith('x')", 1, 24, "undeclared reference to 'startWith', did you mean \"startsWith\"?"),
        ("siz(task.panes) > 1", 1, 4, "undeclared reference to 'siz', did you mean \"size\"?"),
        ("task.mix_mode.size", 1, 14, "type 'string' cannot be the operand of a select operation"),
        ("task.video.aspect > 1", 1, 19, "no matching overload for '_>_' applied to '(double, int)'"),
        ("task.video == {}", 1, 12, "'(Video, map("),
        ("has(task)", 1, 5, "has() argument must be a field selection"),
        ("task.audio_only and true", 1, 17, "mismatched input 'and' expecting <EOF>"),
        ("1 +", 1, 4, "mismatched input '<EOF>'"),
        ("", 1, 1, "mismatched input '<EOF>'"),
        ("task.mix_mode == 'abc", 1, 18, "token recognition error at: ''abc'"),
        ("if", 1, 1, "reserved identifier: if"),
        ("99999999999999999999 > 1", 1, 1, "invalid int literal"),
        ("task.video.bitrate_kbps", 1, 1, "expected bool, this gives int"),
        ("[task]", 1, 1, "expected bool, this gives list"),
        (f"{'(' * 40}true{')' * 40}", 1, 1, "Expression recursion limit exceeded. limit: 32"),
        (f"1{'+1' * 300} > 1", 1, 1, "Exceeded max recursion depth of 32 when parsing."),
        (f"true || {'x' * 10_000}", 1, 1, "an expression of 10008 characters, at most 10000 are allowed"),
        ("true ||\n '\ud83d' == ''", 2, 3, "a character that no text has (U+D83D)"),
        ("'\x00' == ''", 1, 2, "a character that no text has (U+0000)"),
    ],
)
def test_a_mistake_says_where_and_what(text: str, line: int, column: int, what: str) -> None:
    """The library's message is at its place and names the thing; an unknown name has the nearest one."""
    (mistake,) = mistakes(text)
    assert mistake[:2] == (line, column)
    assert what in mistake[2]


def test_all_mistakes_of_an_expression_are_found_at_once() -> None:
    """They are in the order of their places."""
    found = mistakes("task.foo.x == 1 && tsk && task.video.gap > 1 && 'x' > 1")
    assert [(column, re.findall("'(.+?)'|$", text)[0]) for _, column, text in found] == [
        (5, "foo"),
        (20, "tsk"),
        (37, "gap"),
        (53, "_>_"),
    ]


def test_a_message_must_be_a_text() -> None:
    """What makes no text is refused as a message."""
    with pytest.raises(CompileError, match="expected string, this gives int"):
        compile_message("task.pane_count")
    message = compile_message('"at " + string(task.video.bitrate_kbps)')
    assert message.evaluate_text(activation_of({"task": facts_of_case(TASK)})) == "at 2000"


def is_there(function: str) -> bool:
    """Whether some call of a function or macro is no mistake because of its name."""
    callees = [function] if "." in function else [function, f"task_id.{function}", f"[1].{function}"]
    calls = (f"{callee}({given})" for callee in callees for given in ("", "task.region", "o, true", "1, 1"))
    return any("undeclared reference" not in str(mistakes_if_any(f"{call} == {call}")) for call in calls)


def test_each_function_is_there() -> None:
    """Each that is documented, and named where a name is mistyped, can be called; others can't."""
    assert [name for name in FUNCTIONS if not is_there(name)] == []
    assert not any(map(is_there, ("matchesglob", "math.cos", "strings.trim")))


@for_each([name for name in FUNCTIONS if name.startswith("get")])
def test_no_function_takes_the_name_of_a_time_zone(function: str) -> None:
    """A name of a time zone would be looked up as a file, of any path."""
    for argument in ("'/etc/passwd'", "dyn('/etc/passwd')", "task_id"):
        with pytest.raises(CompileError, match=rf"undeclared reference to '{function}'|no matching overload"):
            compile_condition(f"now.{function}({argument}) == 1")


@pytest.mark.parametrize(
    "text",
    ["file('/etc/passwd')", "env('HOME')", "http('x')", "open('x')", "import os", "os.environ", "__import__('os')"],
)
def test_nothing_reaches_outside(text: str) -> None:
    """There is no function and no variable but those of the vocabulary and of CEL."""
    with pytest.raises(CompileError):
        compile_condition(f"{text} == ''")


def test_an_expression_knows_the_variables_that_it_uses() -> None:
    """A variable counts that is named, not one that a macro's own name hides, and not a text."""
    uses = {
        "task.audio_only": {"task"},
        "now - first_seen > age && task_id == channel_id": {"now", "first_seen", "age", "task_id", "channel_id"},
        "task.panes.exists(now, now.x > 0.5) || 'app' == 'age'": {"task"},
        "shared_outputs > 0 || app.owner == '' || last_changed > now": {"shared_outputs", "app", "last_changed", "now"},
        "true": set(),
    }
    assert {text: compile_condition(text).uses for text in uses} == uses


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
        ("task.idle_timeout_seconds > 5", 'Key not found in map : "idle_timeout_seconds": guard it with has()'),
        ("task.outputs.all(o, o.is_ali_cdn)", 'Key not found in map : "is_ali_cdn": guard it with has()'),
        ("{1: 2}[task.pane_count] > 1", "Key not found in map : 0: guard it with has()"),
        ("task.panes[2].z_order == 1", "Index error: index=2 size=0"),
        ("task.video.bitrate_kbps / task.pane_count > 1", "divide by zero"),
        ("9223372036854775807 + task.video.width > 1", "integer overflow"),
        ("dyn(task.mix_mode) > 1", "No matching overloads found : _>_(string, int64)"),
        ("task_id == ''", 'No value with name "task_id"'),
        ("task.mix_mode.matches('(')", "invalid regular expression: missing ): ("),
        ("dyn(task.mix_mode)", "expected bool, this gives string"),
        ("dyn(task.panes)", "expected bool, this gives list"),
    ],
)
def test_what_has_no_value_says_why_in_one_line(text: str, why: str) -> None:
    """The library's reason names the thing; an absent field has a hint."""
    assert why in reason(text)


def test_a_list_that_is_too_long_says_so() -> None:
    """A rule that names it can't be evaluated, whether or not the field is there."""
    panes = without_long_lists(facts_of_case({"panes": [{}] * (LONGEST_LIST + 1)}))
    assert reason("task.panes.all(p, p.x > 0.5)", {"task": panes}) == (
        'Key not found in map : "panes": missing, or has more than 128 items'
    )


def test_an_expensive_expression_is_stopped() -> None:
    """Loops within loops end at the budget, soon, and the reason says so."""
    numbers = list(range(120))
    loops = f"{numbers}.all(a, {numbers}.all(b, a + b >= 0))"
    assert reason(loops) == "Iteration budget exceeded"


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
    clocks = Clocks(ticks, _Ticks(1.0))
    slow, other = compile_condition("true", clocks), compile_condition("task_id == 'a'", clocks)
    activation = activation_of({"task_id": "a"})
    assert [slow.evaluate(activation) for _ in range(MOST_SLOW)] == [True] * MOST_SLOW
    assert slow.stopped
    ticks.step = 0.0
    with pytest.raises(EvaluationError, match=r"^stopped: it took over 0\.25 s 3 times within 10 minutes$"):
        slow.evaluate(activation)
    assert other.evaluate(activation) is True


def test_an_expression_that_fails_slowly_is_stopped_too() -> None:
    """A failed evaluation costs as much as one that has a value."""
    failing = compile_condition("task.video.gop > 1", Clocks(_Ticks(2 * SLOW_SECONDS), _Ticks(1.0)))
    for _ in range(MOST_SLOW):
        with pytest.raises(EvaluationError, match="gop"):
            failing.evaluate(activation_of({"task": facts_of_case({})}))
    assert failing.stopped


@pytest.mark.parametrize(("cpu_seconds", "between"), [(SLOW_SECONDS, 0.0), (2 * SLOW_SECONDS, SLOW_WINDOW_SECONDS)])
def test_slow_evaluations_far_apart_and_fast_ones_never_stop_an_expression(cpu_seconds: float, between: float) -> None:
    """Three stalls in a year are no reason to stop a rule, and neither is any number of fast evaluations."""
    expression = compile_condition("true", Clocks(_Ticks(cpu_seconds), _Ticks(between)))
    assert all(expression.evaluate(activation_of({})) for _ in range(50))


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
        compile_condition(text)
    except CompileError as error:
        return list(error.mistakes) or [(0, 0, "")]
    return []


@settings(max_examples=examples(300))
@given(st.lists(TOKENS, max_size=12).map(" ".join) | st.text(st.characters(), max_size=30))
def test_any_text_compiles_or_says_what_is_wrong(text: str) -> None:
    """Whatever is written, no other error comes of it, and places are within the text."""
    lines = text.split("\n")
    for line, column, what in mistakes_if_any(text):
        assert what
        assert "\n" not in what
        assert 1 <= line <= len(lines)
        assert 1 <= column <= len(lines[line - 1]) + 1


def test_time_that_others_use_does_not_count() -> None:
    """Evaluations are measured in CPU time of their own thread."""
    assert Clocks() == (time.thread_time, time.monotonic)
