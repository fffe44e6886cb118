"""The choice of examples, and how they are shared out."""

from collections.abc import Iterator

from annotated_types import Le
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.policy_model import Policy
from exporter.config.section import kinds_of
from exporter.rules.engine import ExampleAllowance
from exporter.rules.findings import LEAST_ROOM, StableExamples
from exporter.rules.rule import SEVERITIES, Severity


def _chosen(tasks: set[str], most: int) -> tuple[str, ...]:
    """Return the examples of tasks that are all there from the start."""
    examples = StableExamples(tasks)
    return examples.first(most)


@given(st.lists(st.integers(0, 400), max_size=600), st.integers(0, 100))
def test_the_choice_depends_on_the_tasks_alone(toggled: list[int], most: int) -> None:
    """Whatever came and went, in whatever order, the examples are those of the tasks that are there."""
    tasks: dict[str, None] = {}
    examples = StableExamples(tasks)
    for number in toggled:
        task_id = f"task-{number}"
        if task_id in tasks:
            del tasks[task_id]
            examples.removed(task_id)
        else:
            tasks[task_id] = None
            examples.added(task_id)
    assert examples.first(most) == _chosen(set(tasks), most)
    assert len(examples.first(most)) == min(most, len(tasks))


def test_few_of_many_tasks_are_kept_in_order() -> None:
    """Any number of tasks may come without all of them being kept a second time."""
    tasks: set[str] = set()
    examples = StableExamples(tasks)
    for number in range(5000):
        tasks.add(f"task-{number}")
        examples.added(f"task-{number}")
    assert len(examples._lowest) <= 2 * LEAST_ROOM
    assert examples.first(5) == _chosen(tasks, 5)


class _Looked(set[str]):
    """Tasks that count how often all of them are looked at."""

    times = 0

    def __iter__(self) -> Iterator[str]:
        self.times += 1
        return super().__iter__()


def test_as_many_as_can_be_asked_for_are_known() -> None:
    """However many examples a rule may show, no report of new violations looks at all of them."""
    limit = kinds_of(Policy)["examples_per_rule"].find(Le)
    assert limit is not None
    most = int(str(limit.le))
    tasks = _Looked()
    examples = StableExamples(tasks)
    for number in range(1000):
        tasks.add(f"task-{number}")
        examples.added(f"task-{number}")
        assert len(examples.first(most)) == min(most, number + 1)
    assert tasks.times == 0


_apps = st.dictionaries(
    st.tuples(st.just("prod"), st.sampled_from("abcd")),
    st.dictionaries(st.sampled_from(SEVERITIES), st.lists(st.integers(0, 12), max_size=4), max_size=3),
    max_size=4,
)


def _expected(apps: dict[tuple[str, str], dict[Severity, list[int]]], per_rule: int, most: int) -> dict[Severity, int]:
    """Return the largest allowances that fit, found by trying."""
    allowed = {}
    for severity in reversed(SEVERITIES):
        numbers = [number for app in apps.values() for number in app.get(severity, ())]
        fitting = [each for each in range(per_rule + 1) if sum(min(each, number) for number in numbers) <= most]
        allowed[severity] = max(fitting)
        most -= sum(min(allowed[severity], number) for number in numbers)
    return allowed


@given(st.lists(_apps, max_size=3), st.integers(0, 10), st.integers(0, 40))
def test_as_many_as_fit_critical_first(
    rounds: list[dict[tuple[str, str], dict[Severity, list[int]]]], per_rule: int, most: int
) -> None:
    """However violations come and go, each severity gets the largest number that fits into what is left for it."""
    allowance = ExampleAllowance(per_rule, most)
    known: dict[tuple[str, str], dict[Severity, list[int]]] = {}
    for apps in rounds:
        for app, violations in apps.items():
            before = {severity: allowance.of(severity) for severity in SEVERITIES}
            moved = allowance.update(app, violations)
            known[app] = violations
            now = {severity: allowance.of(severity) for severity in SEVERITIES}
            assert now == _expected(known, per_rule, most)
            assert moved == (now != before)
