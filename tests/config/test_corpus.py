"""Files that are accepted, and shown without their secrets, and files whose mistakes are reported word for word."""

from pathlib import Path

import pytest
import yaml

from exporter.config.mistakes import ConfigError
from exporter.config.model import AccessKey, Account, App, Config, CredentialsUri, redacted
from exporter.core.secret import Secret
from exporter.rules.rule_loader import load
from tests.support.configurations import read_yaml

HERE = Path(__file__).parent
GOOD = sorted((HERE / "good").glob("*.yml"))
BAD = sorted((HERE / "bad").glob("*.yml"))
GOOD_ENVIRONMENT = {"ACCOUNT": "prod", "RATE": "20", "KEY_ID": "key", "SECRET": "swordfish", "NONE": "none"}
BAD_ENVIRONMENT = {"SECRET": "swordfish", "EMPTY": ""}


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_file_is_accepted(path: Path) -> None:
    """A good file gives a configuration with at least one app."""
    config = load(path, GOOD_ENVIRONMENT).config
    assert all(account.apps for account in config.accounts)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_file_has_exactly_these_mistakes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad file is refused with the very lines that are beside it, and none shows the made-up secret."""
    monkeypatch.chdir(path.parent)
    with pytest.raises(ConfigError) as caught:
        load(Path(path.name), BAD_ENVIRONMENT)
    assert "swordfish" not in str(caught.value).lower()
    assert f"{caught.value}\n" == path.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_no_secret_is_shown(path: Path) -> None:
    """No secret of any good file is in what is shown of it, nor in any repr."""
    config = load(path, GOOD_ENVIRONMENT).config
    for shown in (redacted(config), repr(config), repr(config.accounts)):
        assert "swordfish" not in shown
        assert "made-up-secret" not in shown


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_what_is_shown_is_a_configuration(path: Path, tmp_path: Path) -> None:
    """What is shown can be loaded again and shows the same."""
    first = load(path, GOOD_ENVIRONMENT).config
    shown = redacted(first).replace("$", "$$")
    copy = tmp_path / "copy.yml"
    entries = [{**account, "app_files": []} for account in read_yaml(shown)["accounts"]]
    copy.write_text(yaml.safe_dump({**read_yaml(shown), "accounts": entries}), encoding="utf-8")
    again = read_yaml(redacted(load(copy, {}).config))
    expected = read_yaml(redacted(first))
    assert again == {**expected, "accounts": [{**a, "app_files": []} for a in expected["accounts"]]}


def test_defaults_are_shown() -> None:
    """What is in effect is shown, whether it was written or not, durations and `none` as one writes them."""
    credentials = AccessKey(access_key_id="id", access_key_secret=Secret("swordfish"))
    one = Account(name="a", proxy="http://u:p@proxy:1", apps=(App(id="x"),))
    shown = read_yaml(redacted(Config(accounts=(one, Account(name="b", credentials=credentials)))))
    assert shown["collection"]["stale_after"] == "15m"
    first, second = shown["accounts"]
    assert first["proxy"] == "http://<secret>@proxy:1"
    assert first["credentials"] == {"type": "default"}
    assert first["apps"] == [{"id": "x", "name": "", "owner": "", "quota": {"single": "none", "mixed": "none"}}]
    key = {"type": "access_key", "access_key_id": "id", "access_key_secret": "<secret>"}
    assert second["credentials"] == key


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/"),
        ("http://127.0.0.1:8080/v1/swordfish", "http://127.0.0.1:8080/<secret>"),
        ("http://u:p@host/swordfish?token=x#y", "http://<secret>@host/<secret>?<secret>"),
    ],
)
def test_of_an_address_only_scheme_host_and_port_are_shown(uri: str, shown: str) -> None:
    """Its path, query, user and password can be what gives access to keys."""
    account = Account(name="a", credentials=CredentialsUri(uri=uri))
    assert read_yaml(redacted(Config(accounts=(account,))))["accounts"][0]["credentials"]["uri"] == shown
