"""What can stand in the query or the path of a URL, declared once for those who read it and those who describe it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct, field

from exporter.metrics import labels
from exporter.policy.rule import Severity

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000


def _any_text() -> Mapping[str, Any]:
    return {"type": "string", "minLength": 1}


class Parameter(Struct, frozen=True):
    """One parameter of a URL."""

    name: str
    description: str
    example: str = ""
    """Empty: there is none."""
    schema: Mapping[str, Any] = field(default_factory=_any_text)
    """JSON Schema, draft 2020-12."""


def choice(name: str, description: str, choices: Iterable[str]) -> Parameter:
    """Return a parameter that is one of some values."""
    return Parameter(name, description, schema={"type": "string", "enum": [str(one) for one in choices]})


ACCOUNT: Final = Parameter("account", "The name of an account, as the configuration gives it.", example="production")
APP_ID: Final = Parameter("app_id", "An AppId.", example="live-main")
TASK_ID: Final = Parameter("task_id", "A TaskId.", example="task-1")
RULE: Final = Parameter("rule", "The name of a rule.", example="video-bitrate-agreed")
SEVERITY: Final = choice("severity", "The severity of rules.", Severity)
TASK_REGION: Final = choice("task_region", labels.TASK_REGION.meaning, labels.TASK_REGION.values)
MIX_MODE: Final = choice("mix_mode", labels.MIX_MODE.meaning, labels.MIX_MODE.values)
OWNER: Final = Parameter("owner", "Who answers: the rule's owner, else the app's.", example="live-ops")
SINCE: Final = Parameter(
    "since",
    "A point in time, in seconds since 1970 or as in RFC 3339: nothing earlier is shown.",
    example="2027-01-15T08:00:00Z",
    schema={
        "anyOf": [
            {"type": "string", "format": "date-time"},
            {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,9})?$"},
        ]
    },
)
LIMIT: Final = Parameter(
    "limit",
    "How many items a page has at most. A page ends earlier where it would become too large.",
    schema={"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
)
CURSOR: Final = Parameter(
    "cursor",
    "The next_cursor of an answer to the same query, for the page behind it.",
    schema={"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
)
