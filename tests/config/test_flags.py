"""A configuration from flags."""

import pytest

from exporter.config.credential_kinds import DefaultChain
from exporter.config.loader import from_flags
from exporter.config.mistakes import ConfigError
from exporter.config.model import App


def test_flags_make_the_default_account() -> None:
    """App ids become the apps of one account with the default chain and endpoint."""
    (account,) = from_flags(["live-1", "live_2"]).accounts
    assert (account.name, account.endpoint) == ("default", "https://live.aliyuncs.com")
    assert account.apps == (App(id="live-1"), App(id="live_2"))
    assert account.credentials == DefaultChain()


def test_an_endpoint_is_taken_in_its_plain_form() -> None:
    """Host in lower case, no slash at the end."""
    (account,) = from_flags(["a"], "http://LOCALHOST:8080/").accounts
    assert account.endpoint == "http://localhost:8080"


def test_every_mistake_names_its_flag() -> None:
    """All mistakes of the flags are reported together, without what may hold a password."""
    with pytest.raises(ConfigError) as caught:
        from_flags(["a", "a", "b c"], "https://user:swordfish@host")
    assert str(caught.value).splitlines() == [
        "--app.id: 'a' again, expected each app once",
        "--app.id: 'b c', expected 1 to 64 letters, digits or _ -",
        "--api.endpoint: not usable, expected http:// or https:// and a host, without path, user and password",
    ]


def test_no_app_is_a_mistake() -> None:
    """Without an app there is nothing to read."""
    with pytest.raises(ConfigError, match=r"--app\.id: no app, expected at least one"):
        from_flags([])
