"""Files that must be accepted, and files whose mistakes must be reported word for word."""

from pathlib import Path

import pytest

from exporter.config.loader import load
from exporter.config.mistakes import ConfigError

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
