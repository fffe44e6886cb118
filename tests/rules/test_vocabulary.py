"""What rules can speak of."""

import re

from cel_expr_python import cel

from exporter.rules.cel_language import Language
from exporter.rules.cel_types import checked_types, message_fields, message_paths, message_pool, running_types
from exporter.rules.cost import PUSH_EXPIRES
from exporter.rules.vocabulary import NAMES, FactType, walk


def test_every_variable_and_field_says_what_it_means() -> None:
    """Each has a sentence for the reference, and a group has its fields."""
    for path, fact in walk():
        assert re.fullmatch(r"[A-Z`].*\.", fact.description), path
        assert (fact.group is not None) == (fact.kind is FactType.GROUP), path


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
