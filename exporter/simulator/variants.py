"""What the vendor leaves open: each field is a question, its values are the answers a real service might give."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

_NotNegative = Annotated[float, Meta(ge=0)]


class Variants(Struct, frozen=True, forbid_unknown_fields=True):
    """How this service answers where nothing is documented; the defaults are the likeliest answers."""

    past_end: Literal["empty", "invalid_param", "last_page"] = "empty"
    unknown_task: Literal["empty", "bad_request", "not_found", "no_list"] = "empty"
    empty_app: Literal["list", "null", "absent"] = "list"
    look_ups_counted: bool = True
    stopped_task_stays_seconds: _NotNegative = 0.0
    deepest_row: Annotated[int, Meta(ge=0)] = 0
    listed_rows: Annotated[int, Meta(ge=0)] = 0
    page_cap: Annotated[int, Meta(ge=0)] = 0
    page_cap_kind: Literal["page_size", "rows", "always"] = "page_size"
    ties: Literal["none", "stable", "changing", "by_page_size", "by_page_no"] = "none"
    changed_task_moves: bool = True
    lag_seconds: _NotNegative = 0.0
    lag_share: Annotated[float, Meta(ge=0, le=1)] = 0.5
    spelling: Literal["documented", "other_case", "new_value"] = "documented"
    compression: bool = True
    clock_skew_seconds: float = 0.0

    def changed(self, changes: Mapping[str, Any]) -> "Variants":
        """Return these variants with some answered otherwise.

        Raises:
            msgspec.ValidationError: A name or a value is not one of those that exist.
        """
        return msgspec.convert({**msgspec.structs.asdict(self), **changes}, Variants, strict=False)


DESCRIPTIONS: Final = MappingProxyType(
    {
        "past_end": "a page past the end: empty, invalid_param (an error), last_page (the last one again)",
        "unknown_task": "an unknown TaskId: empty, bad_request (400), not_found (404), no_list (MPUTasks missing)",
        "empty_app": "MPUTasks of an app without tasks: list, null, absent",
        "look_ups_counted": "whether requests with a TaskId count against the limit: true, false",
        "stopped_task_stays_seconds": "how long a stopped task stays listed: 0 is not at all",
        "deepest_row": "pages that reach beyond this row are refused: 0 is no bound",
        "listed_rows": "rows beyond this one are never listed, only looked up: 0 is no bound",
        "page_cap": "the most rows of a page, whatever PageSize is: 0 is no cap",
        "page_cap_kind": "what page_cap is: page_size, rows (of a page in its place), always (rows of each page)",
        "ties": "update times of whole seconds: none, stable (one order), changing, by_page_size, by_page_no",
        "changed_task_moves": "whether a changed task moves to the front: true, false",
        "lag_seconds": "how far a second replica is behind: 0 is no second replica",
        "lag_share": "the share of requests that the second replica answers",
        "spelling": "of Region, MixMode and codec: documented, other_case, new_value",
        "compression": "whether answers are compressed for those who accept it: true, false",
        "clock_skew_seconds": "how far the server's clock is ahead",
    }
)
"""One line for each variant."""

_RESPELLED: Final = MappingProxyType(
    {
        "documented": (),
        "other_case": (
            (b'"Region":"CN-Shanghai"', b'"Region":"CN-shanghai"'),
            (b'"Region":"AP-Singapore"', b'"Region":"ap-singapore"'),
            (b'"Region":"EMAA-Saudi"', b'"Region":"EMAA-SAUDI"'),
            (b'"VideoCodec":"H.26', b'"VideoCodec":"h.26'),
        ),
        "new_value": (
            (b'"Region":"AP-Singapore"', b'"Region":"EU-Frankfurt"'),
            (b'"MixMode":"0"', b'"MixMode":"2"'),
            (b'"VideoCodec":"H.265"', b'"VideoCodec":"AV1"'),
        ),
    }
)


def respelled(body: bytes, spelling: str) -> bytes:
    """Return a row in the spelling of a variant."""
    for documented, other in _RESPELLED[spelling]:
        body = body.replace(documented, other)
    return body
