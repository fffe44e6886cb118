"""Generated values: rows in the documented shape with any leaf, and any values of the declared Structs."""

import os
import types
from collections.abc import Iterable
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st
from msgspec import Struct

from exporter.aliyun.row_schema import Part, Row

T = TypeVar("T")

LEAVES = st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = st.sampled_from(["", " ", "0", "1", "2", "30", "30.0", "0.25", "1e3"])
NAMES = st.sampled_from(["H.264", "h.265", "camera", "tv", "true", "CN-shanghai", '{"profile":"main"}', '{"a":1}'])
URLS = st.sampled_from(["rtmp://u:p@a.example.com/live?key=1", "srt://b.example.com:9000", "http://c"])


def documented_rows() -> st.SearchStrategy[dict[str, Any]]:
    """Generate rows that the decoder takes as they are."""
    return _objects(Row).map(lambda row: {**row, "TaskId": "t", "AppId": "a"})


def _objects(shape: type[Part]) -> st.SearchStrategy[dict[str, Any]]:
    """Generate objects of one shape, any member of which may be absent."""
    members = {field.encode_name: _values(field.type) for field in msgspec.structs.fields(shape)}
    return st.fixed_dictionaries({}, optional=members)


def _values(declared: Any) -> st.SearchStrategy[Any]:
    """Generate what may stand where a type is declared."""
    inner = next(iter(get_args(declared)), None)
    if inner is None:
        return LEAVES | NUMBERS | NAMES | URLS | st.text(max_size=4) | st.just([]) | st.just({"odd": [1]})
    if get_origin(inner) is Annotated:
        return st.none() | st.lists(_objects(get_args(get_args(inner)[0])[0]), max_size=3)
    return st.none() | _objects(inner)


_PLAIN: dict[type, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(-5, 5000) | st.integers() | st.sampled_from([2**63, -(2**63) - 1, 10**400]),
    float: st.floats(-1, 2) | st.floats(allow_nan=False, allow_infinity=False),
    str: st.sampled_from(["", "mixed", "ä\ud83d", '"\\\n\x00', "CN-Shanghai", "rtmps"]) | st.text(st.characters()),
}


def any_struct(struct: type[Struct]) -> st.SearchStrategy[Any]:
    """Generate values of a Struct whose fields are of plain types, Structs and tuples of them."""
    return st.builds(struct, **{name: _any_value(hint) for name, hint in get_type_hints(struct).items()})


def _any_value(hint: Any) -> st.SearchStrategy[Any]:
    """Generate values of one type."""
    if isinstance(hint, type) and (leaf := _PLAIN.get(hint)) is not None:
        return leaf
    if get_origin(hint) is types.UnionType:
        return st.one_of([_any_value(one) for one in get_args(hint)])
    if get_origin(hint) is tuple:
        item, *rest = get_args(hint)
        if rest == [...]:
            return st.lists(_any_value(item), max_size=3).map(tuple)
        return st.tuples(*map(_any_value, (item, *rest)))
    return st.none() if hint is types.NoneType else any_struct(hint)


IN_CI: Final = os.environ.get("CI") == "true"


def examples(in_ci: int) -> int:
    """Return how many examples a property is tried with: all in CI, a fifth elsewhere."""
    return in_ci if IN_CI else in_ci // 5


def sampled(cases: Iterable[T], *, one_in: int) -> list[T]:
    """Return the cases of a long table to run: all in CI, elsewhere always the same ones, evenly spread."""
    return list(cases) if IN_CI else list(cases)[one_in - 1 :: one_in]
