"""Tests of a task as rules see it, and of what they can speak of."""

import re

import pytest

from exporter.collector.inventory import Entry
from exporter.config.model import App, Quota
from exporter.core.task import Output
from exporter.rules.cel_language import compile_condition
from exporter.rules.cost import PUSH_EXPIRES
from exporter.rules.subject import Subject, app_facts
from exporter.rules.vocabulary import FactType, Variables, walk
from tests.metrics.builders import PLAIN, configuration
from tests.support.policy_world import make_task

APP = App(id="live", name="Main stage", owner="live-ops", quota=Quota(single=200, mixed=None))


def _subject(counted: list[str] | None = None) -> Subject:
    """Return a task that was first seen an hour ago; `counted` gets a TaskId whenever its URLs are counted."""

    def count(task: object) -> int:
        (counted if counted is not None else []).append(str(getattr(task, "task_id", "")))
        return 2

    entry = Entry.of(make_task("task-1", 1, PLAIN), first_seen=1000.0, last_changed=2000.0, sent_at=0.0)
    return Subject(entry, app_facts("prod", APP), now=4600.0, shared_outputs=count)


@pytest.mark.parametrize("name", Variables.__struct_fields__)
def test_every_variable_of_the_vocabulary_is_there(name: str) -> None:
    """An activation can be made of each variable that a rule can name."""
    _subject().activation([name])


@pytest.mark.parametrize(
    "condition",
    [
        'task_id == "task-1" && channel_id == "channel-of-task-1"',
        'task.region == "CN-Shanghai" && task.mix_mode == "mixed"',
        'age == duration("1h") && now - first_seen == age',
        'last_changed == timestamp("1970-01-01T00:33:20Z") && now == timestamp("1970-01-01T01:16:40Z")',
        "shared_outputs == 2",
        'app.id == "live" && app.name == "Main stage" && app.owner == "live-ops" && app.account == "prod"',
        "app.quota.single == 200 && !has(app.quota.mixed)",
    ],
)
def test_rules_see_what_there_is(condition: str) -> None:
    """Each variable has the task's value, of the type that the vocabulary declares."""
    expression = compile_condition(condition)
    assert expression.evaluate(_subject().activation(expression.uses)) is True


def test_what_is_not_asked_for_is_not_made() -> None:
    """URLs are counted when a rule asks for them, and once."""
    counted: list[str] = []
    subject = _subject(counted)
    subject.activation({"now", "age"})
    assert counted == []
    assert subject.shared_outputs == subject.shared_outputs == 2
    assert counted == ["task-1"]


@pytest.mark.parametrize("first", [{"task"}, {"task", "task.push_auth"}])
def test_only_rules_that_name_a_fact_of_a_key_see_it(first: set[str]) -> None:
    """One that compares whole outputs, which is remembered by configuration, has one outcome beside any other rules."""
    output = Output("rtmp", "push.example.com", None, has_userinfo=False, signer="alibaba")
    entry = Entry.of(make_task("a", 1, configuration(outputs=(output,))), first_seen=0.0, last_changed=0.0, sent_at=0.0)
    subject = Subject(entry, app_facts("prod", APP), now=0.0, shared_outputs=lambda _: 0)
    subject.activation(first)
    unsigned = compile_condition('task.outputs[0].push_auth == "unsigned"')
    assert unsigned.evaluate(subject.activation({"task"})) is True
    assert unsigned.evaluate(subject.activation(unsigned.uses)) is False


def test_every_variable_and_field_says_what_it_means() -> None:
    """Each has a sentence for the reference, and a group has its fields."""
    for path, fact in walk():
        assert re.fullmatch(r"[A-Z`].*\.", fact.description), path
        assert (fact.group is not None) == (fact.kind is FactType.GROUP), path


def test_every_path_compiles() -> None:
    """A rule can name each variable and each field of a group."""
    for path, _ in walk():
        if "[]" not in path:
            also = {path} if path == PUSH_EXPIRES else set()
            assert compile_condition(f"{path} == {path}").uses - also == {path.partition(".")[0]}
