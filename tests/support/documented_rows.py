"""Generated rows in the documented shape: any of its members, with any leaf."""

from typing import Any, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from exporter.aliyun.row_schema import Part, Row

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
    if get_origin(inner) is list:
        return st.none() | st.lists(_objects(get_args(inner)[0]), max_size=3)
    return st.none() | _objects(inner)
