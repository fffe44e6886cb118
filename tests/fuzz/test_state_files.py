"""Whatever is in a state file whose checksum fits, it is taken whole or refused with a sentence."""

import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.storage import state_file
from exporter.storage.state_file import SavedApp, StateFileError
from tests.support.examples import examples

HEADER = state_file.encode([]).partition(b"\n")[0]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
APPS = st.builds(
    lambda task, violation: {
        "account": "a",
        "app_id": "b",
        "sweep": {
            "began": 1.0,
            "duration_seconds": 1.0,
            "requests": 1,
            "repaired_tasks": 0,
            "duplicate_rows": 0,
            "rows_without_task_id": 0,
        },
        "last_update_began": None,
        "configurations": [],
        "tasks": [task],
        "violations": [violation],
    },
    st.tuples(
        st.just("t"), st.just("c"), st.integers(-3, 3), st.just(1), st.binary(max_size=3), st.floats(), st.floats()
    )
    | VALUES,
    st.tuples(st.lists(st.text(max_size=3), max_size=3), st.lists(st.integers(-3, 3)), st.lists(st.floats())) | VALUES,
)


def read(content: bytes) -> list[SavedApp] | None:
    """Return what a content under a fitting header is read as; None where it is refused."""
    words = HEADER.split(b" ")
    whole = b" ".join((*words[:3], state_file._digest(content))) + b"\n" + content
    try:
        return state_file.decode(whole)
    except StateFileError:
        return None


@given(content=st.binary(max_size=200))
def test_any_bytes_under_a_fitting_checksum_are_refused(content: bytes) -> None:
    """A checksum alone makes no state: noise is refused, nothing else is raised."""
    assert read(content) is None


@given(value=VALUES | st.lists(APPS, max_size=2))
@settings(max_examples=examples(150))
def test_any_values_are_a_whole_state_or_refused(value: Any) -> None:
    """What is taken can be used to its last task and finding."""
    for app in read(zlib.compress(msgspec.msgpack.encode(value))) or ():
        list(app.entries())
        app.findings()


def test_a_content_that_grows_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that would fill the memory is stopped at the bound."""
    monkeypatch.setattr(state_file, "MOST_BYTES", 2**20)
    assert read(zlib.compress(b"\x00" * 2**24)) is None


@pytest.mark.parametrize("depth", [2_000, 200_000])
def test_a_deep_content_is_refused(depth: int) -> None:
    """Nesting ends at a bound, not at the end of the stack."""
    assert read(zlib.compress(b"\x91" * depth)) is None
