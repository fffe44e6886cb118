"""A configuration from the command line's flags alone."""

from collections.abc import Sequence
from typing import Final

from exporter.config import values
from exporter.config.mistakes import Mistakes, Position
from exporter.config.model import DEFAULT_ENDPOINT, Account, App, Config
from exporter.config.shapes import keys_of

ACCOUNT_NAME: Final = "default"
APP_FLAG: Final = "--app.id"
ENDPOINT_FLAG: Final = "--api.endpoint"


def from_flags(app_ids: Sequence[str], endpoint: str = DEFAULT_ENDPOINT) -> Config:
    """Return one account, named `default`, with these apps and the default credential chain.

    Raises:
        ConfigError: With every mistake; each names its flag.
    """
    mistakes = Mistakes()
    id_shape = next(key.shape for key in keys_of(App) if key.name == "id")
    endpoint_shape = next(key.shape for key in keys_of(Account) if key.name == "endpoint")
    app_place, endpoint_place = Position(0, APP_FLAG), Position(1, ENDPOINT_FLAG)
    if not app_ids:
        mistakes.add(app_place, "no app, expected at least one")
    for place, app_id in enumerate(app_ids):
        try:
            values.parse_text(app_id, id_shape)
        except values.Unfit as expected:
            mistakes.add(app_place, f"{app_id[:40]!r}, expected {expected}")
        if app_id in app_ids[:place]:
            mistakes.add(app_place, f"{app_id[:40]!r} again, expected each app once")
    try:
        endpoint = values.parse_endpoint(endpoint, endpoint_shape)
    except values.Unfit as expected:
        mistakes.add(endpoint_place, f"not usable, expected {expected}")
    mistakes.raise_if_any()
    apps = tuple(App(id=app_id) for app_id in app_ids)
    return Config(accounts=(Account(name=ACCOUNT_NAME, endpoint=endpoint, apps=apps),))
