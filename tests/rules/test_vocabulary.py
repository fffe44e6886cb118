"""What rules can speak of."""

import re

import pytest
from cel_expr_python import cel

from exporter.rules.cel_language import Language
from exporter.rules.cel_types import checked_types, message_fields, message_paths, message_pool, running_types
from exporter.rules.cost import PUSH_EXPIRES
from exporter.rules.vocabulary import NAMES, FactType, VideoFacts, facts_of, walk


def test_every_variable_and_field_says_what_it_means() -> None:
    """Each has a sentence for the reference, and a group has its fields."""
    for path, fact in walk():
        assert re.fullmatch(r"[A-Z`].*\.", fact.description), path
        assert (fact.group is not None) == (fact.kind is FactType.GROUP), path


def test_paths_are_written_as_in_rules() -> None:
    """A field of an item of a list is shown with `[]`."""
    paths = [path for path, _ in walk()]
    assert {"task", "task.video.bitrate_kbps", "task.outputs", "task.outputs[].host", "app.quota.single"} <= set(paths)
    assert len(paths) == len(set(paths))


def test_facts_know_their_kind_and_whether_they_can_be_absent() -> None:
    """What the types say of a field is what its fact says."""
    facts = {fact.name: fact for fact in facts_of(VideoFacts)}
    assert (facts["aspect"].kind, facts["aspect"].is_optional) == (FactType.NUMBER, True)
    task = {path: fact for path, fact in walk() if path.startswith("task.")}
    assert (task["task.panes"].is_list, task["task.panes"].is_optional) == (True, False)
    assert (task["task.field_errors"].is_list, task["task.field_errors"].kind) == (True, FactType.TEXT)
    assert (task["task.sei"].is_list, task["task.sei"].is_optional) == (False, True)


def test_a_declaration_that_no_rule_can_speak_of_is_refused() -> None:
    """Only Structs are declarations."""
    with pytest.raises(TypeError, match="no Struct"):
        facts_of(int)


def test_each_group_is_one_message_type_with_the_same_fields() -> None:
    """The types that expressions are checked against have exactly the declared fields."""
    pool = message_pool()
    for message, fields in message_fields().items():
        assert tuple(field.name for field in pool.FindMessageTypeByName(message).fields) == fields
    assert message_paths()["rtcmpu.Video"] == "task.video"
    assert message_paths()["rtcmpu.Pane"] == "task.panes[]"


def test_variables_are_of_the_same_types_in_both_checks_but_for_groups() -> None:
    """What runs knows points in time and texts; groups are maps there."""
    checked, running = checked_types(), running_types()
    assert tuple(checked) == tuple(running) == NAMES
    assert {name for name in NAMES if running[name] == cel.Type.DYN} == {"task", "app"}
    assert all(checked[name] == running[name] for name in NAMES if name not in {"task", "app"})


def test_every_path_compiles() -> None:
    """A rule can name each variable and each field of a group."""
    language = Language()
    for path, _ in walk():
        if "[]" not in path:
            also = {path} if path == PUSH_EXPIRES else set()
            assert language.compile_condition(f"{path} == {path}").uses - also == {path.partition(".")[0]}
