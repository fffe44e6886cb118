"""What rules can speak of."""

import re

from exporter.rules.cel_language import Language
from exporter.rules.cost import PUSH_EXPIRES
from exporter.rules.vocabulary import FactType, walk


def test_every_variable_and_field_says_what_it_means() -> None:
    """Each has a sentence for the reference, and a group has its fields."""
    for path, fact in walk():
        assert re.fullmatch(r"[A-Z`].*\.", fact.description), path
        assert (fact.group is not None) == (fact.kind is FactType.GROUP), path


def test_every_path_compiles() -> None:
    """A rule can name each variable and each field of a group."""
    language = Language()
    for path, _ in walk():
        if "[]" not in path:
            also = {path} if path == PUSH_EXPIRES else set()
            assert language.compile_condition(f"{path} == {path}").uses - also == {path.partition(".")[0]}
