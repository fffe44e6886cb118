"""Any values of the declared Structs, the oddest included."""

import types
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st
from msgspec import Struct

_LEAVES: dict[type, st.SearchStrategy[Any]] = {
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
    if isinstance(hint, type) and (leaf := _LEAVES.get(hint)) is not None:
        return leaf
    if get_origin(hint) is types.UnionType:
        return st.one_of([_any_value(one) for one in get_args(hint)])
    if get_origin(hint) is tuple:
        item, *rest = get_args(hint)
        if rest == [...]:
            return st.lists(_any_value(item), max_size=3).map(tuple)
        return st.tuples(*map(_any_value, (item, *rest)))
    return st.none() if hint is types.NoneType else any_struct(hint)
