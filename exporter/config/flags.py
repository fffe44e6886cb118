"""A configuration from the command line's flags alone."""

from collections.abc import Sequence
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from exporter.config.mistakes import Mistakes, Position
from exporter.config.model import DEFAULT_ENDPOINT, Account, App, AppId, Config
from exporter.config.value_types import Endpoint, describe, kind_of

ACCOUNT_NAME: Final = "default"
APP_FLAG: Final = "--app.id"
ENDPOINT_FLAG: Final = "--api.endpoint"


def from_flags(app_ids: Sequence[str], endpoint: str = DEFAULT_ENDPOINT) -> Config:
    """Return one account, named `default`, with these apps and the default credential chain.

    Raises:
        ConfigError: With every mistake; each names its flag.
    """
    mistakes = Mistakes()
    app_place, endpoint_place = Position(0, APP_FLAG), Position(1, ENDPOINT_FLAG)
    if not app_ids:
        mistakes.add(app_place, "no app, expected at least one")
    for place, app_id in enumerate(app_ids):
        if _parsed(app_id, AppId) is None:
            mistakes.add(app_place, f"{app_id[:40]!r}, expected {describe(kind_of(AppId))}")
        if app_id in app_ids[:place]:
            mistakes.add(app_place, f"{app_id[:40]!r} again, expected each app once")
    parsed = _parsed(endpoint, Endpoint)
    if parsed is None:
        mistakes.add(endpoint_place, f"not usable, expected {describe(kind_of(Endpoint))}")
    mistakes.raise_if_any()
    apps = tuple(App(id=app_id) for app_id in app_ids)
    return Config(accounts=(Account(name=ACCOUNT_NAME, endpoint=str(parsed), apps=apps),))


def _parsed(text: str, kind: Any) -> str | None:
    """Return what a text means as a value of a configuration; None where it is none."""
    try:
        return str(TypeAdapter(kind).validate_python(text))
    except ValidationError:
        return None
