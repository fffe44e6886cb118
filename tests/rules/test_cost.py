"""The cost of expressions: hostile ones are refused before they run, and what is accepted stays cheap."""

import json
import subprocess
import sys
from collections.abc import Callable
from textwrap import dedent
from typing import Final

import pytest

from exporter.rules.cel_language import CompileError, compile_condition, compile_message
from exporter.rules.cost import pattern_instructions

MOST_SECONDS: Final = 0.5  # of CPU: four times what the most expensive ones take on a quiet machine
MOST_MEBIBYTES: Final = 48
RUINOUS: Final = 26

_HUNDRED: Final = f"[{','.join('1' * 100)}]"


def _maps(start: str, grow: str, end: str) -> Callable[[int], str]:
    return lambda times: start + f".map(a, {grow})" * times + end


HOSTILE: Final[dict[str, Callable[[int], str]]] = {
    "texts doubled": _maps("['x']", "a + a", "[0] != ''"),
    "fields doubled": _maps("[task_id]", "a + a", "[0] != ''"),
    "bytes doubled": _maps("[b'x']", "a + a", "[0] != b''"),
    "texts doubled in a condition": _maps("['x']", "true ? a + a : a", "[0] != ''"),
    "lists doubled": _maps("[[1]]", "a + a", "[0] != []"),
    "lists of the task doubled": _maps("[task.field_errors]", "a + a", "[0] != []"),
    "lists of lists": _maps("[[1, 2]]", "[a, a]", " != []"),
    "maps of maps": _maps("[{'a': 'x'}]", "{'a': a, 'b': a}", "[0] != {}"),
    "fields of maps": _maps("[{'a': 'x'}]", "{'a': a.a + a.a}", "[0] != {}"),
    "texts joined": _maps("['x']", "[a, a, a].join(a)", "[0] != ''"),
    "texts formatted": _maps("['x']", "'%s%s%s'.format([a, a, a])", "[0] != ''"),
    "texts split": _maps("['x']", "a + a", "[0].split('').size() > 0"),
    "texts quoted": lambda times: f"{'strings.quote(' * times}'\"'{')' * times} != ''",
    "texts replaced": lambda times: f"'x'{'.replace(chr, many)' * times} != ''".replace("chr, many", "'x', 'xxxxx'"),
    "loops in loops": lambda times: (
        f"task.panes.all(a, {_HUNDRED[: 3 * times]}1].map(b, '{'y' * 200 * times}' + task_id) != [])"
    ),
    "long list mapped": lambda times: f"[{','.join('1' * 100 * times)}].map(a, [a]).size() > 0",
    "lists searched in loops": lambda times: (
        f"task.panes.all(a, {_HUNDRED[: 2 * times]}1].all(b, !('y' in task.field_errors)))"
    ),
    "long texts searched": lambda times: f"[task_id]{'.map(a, a + a)' * times}.all(a, !a.contains(a + 'x'))",
    "repetitions": lambda times: f"!task_id.matches('(a?){{{times * 30}}}a{{{times * 30}}}{'(b|.){500}' * times}')",
    "repetitions in loops": lambda times: (
        f"task.outputs.all(o, !o.host.matches('(a?){{{times * 8}}}a{{{times * 8}}}y'))"
    ),
    "letters": lambda times: rf"!task_id.matches('\\pL{{{times * 7}}}y')",
}
"""By name, what makes an expression of a size; every one of them is ruinous at `RUINOUS`."""

_MEASURE: Final = dedent(
    """
    import json, resource, sys, time
    from exporter.rules.facts import facts_of_case
    from exporter.rules.cel_language import EvaluationError, activation_of, compile_condition, compile_message
    task = {
        "outputs": [{"host": "a" * 256}] * 128,
        "field_errors": ["x" * 256] * 128,
        "panes": [{}] * 128,
    }
    variables = {"task": facts_of_case(task), "task_id": "a" * 256}
    resident, measured = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, {}
    for name, text in json.load(sys.stdin).items():
        before, began = resident(), time.thread_time()
        try:
            compile_condition(text).evaluate(activation_of(variables))
        except EvaluationError:
            pass
        measured[name] = (time.thread_time() - began, (resident() - before) / 1024)
    json.dump(measured, sys.stdout)
    """
)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_ruinous_expression_is_refused_at_its_place(name: str) -> None:
    """The mistake says where it is and why."""
    with pytest.raises(CompileError, match=r"^1:\d+: one evaluation can take too much time or memory"):
        compile_condition(HOSTILE[name](RUINOUS))


@pytest.mark.parametrize("pattern", ["task.mix_mode", "'a' + task_id", "true ? '(a{99}){9}' : ''"])
def test_only_a_literal_is_a_pattern(pattern: str) -> None:
    """What a pattern costs must be known before it runs."""
    with pytest.raises(CompileError, match="one evaluation can take too much time or memory"):
        compile_condition(f"task_id.matches({pattern})")


def test_a_message_is_bounded_too() -> None:
    """A text is made as a condition is."""
    with pytest.raises(CompileError, match="one evaluation can take too much time or memory"):
        compile_message(_maps("['x']", "a + a", "[0]")(RUINOUS))


@pytest.mark.processes
def test_the_most_expensive_accepted_expressions_are_cheap() -> None:
    """The largest of each kind that is accepted takes little time and memory for the largest task."""
    accepted = {name: text for name, make in HOSTILE.items() if (text := _largest_accepted(make))}
    assert len(accepted) >= len(HOSTILE)
    found = subprocess.run(
        [sys.executable, "-c", _MEASURE], input=json.dumps(accepted), capture_output=True, text=True, check=True
    )
    measured = json.loads(found.stdout)
    assert measured.keys() == accepted.keys()
    assert {name: cost for name, cost in measured.items() if cost[0] > MOST_SECONDS or cost[1] > MOST_MEBIBYTES} == {}


def _largest_accepted(make: Callable[[int], str]) -> str:
    accepted = ""
    for size in range(1, RUINOUS + 1):
        text = make(size)
        try:
            compile_condition(text)
        except CompileError:
            return accepted
        accepted = text
    return accepted


@pytest.mark.parametrize(
    "text",
    [
        'task.outputs.all(o, o.host.matches("^(push|live)-[0-9]+\\\\.(eu|cn)\\\\.example\\\\.com$"))',
        "task.panes.exists(p, task.panes.exists(q, p.x < q.x && q.x < p.x + p.width && p.z_order == q.z_order))",
        "task.user_streams.all(u, task.panes.filter(p, p.source_type == u.source_type).size() < 9)",
        'task.outputs.map(o, o.scheme + "://" + o.host).join(", ").replace("a", "b").lowerAscii() != ""',
        '"%d panes, %s, %.2f".format([task.pane_count, task.mix_mode, task.video.aspect]) != ""',
    ],
)
def test_rules_that_people_write_are_accepted(text: str) -> None:
    """The bound leaves room for what rules are for, also over long lists."""
    compile_condition(text)


@pytest.mark.parametrize(
    ("pattern", "instructions"),
    [("abc", 7), ("a{30}", 34), ("(ab){3}c", 14), ("(a{30}){30}", 934), (r"\\.[0-9]", 25), (r"[\\pL]", 604)],
)
def test_repetitions_count_as_what_they_repeat(pattern: str, instructions: int) -> None:
    """A pattern is measured by what it is compiled to, not by its length."""
    assert pattern_instructions(pattern.replace("\\\\", "\\")) == instructions
