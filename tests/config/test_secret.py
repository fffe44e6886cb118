"""Secrets are used, compared and never shown."""

from pathlib import Path

import msgspec
import pytest

from exporter.config.credentials import AccessKey
from exporter.config.secret import Secret, SecretFile


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{:>20}".format, "%s".__mod__, lambda s: f"{[s]!r}"])
def test_a_secret_is_never_shown(show: object) -> None:
    """No way of turning a secret into a text has it."""
    assert callable(show)
    assert "<secret>" in show(Secret("swordfish"))
    assert "swordfish" not in show(Secret("swordfish"))


def test_credentials_do_not_show_their_secret() -> None:
    """The repr of what holds a secret does not have it."""
    key = AccessKey(access_key_id="id", access_key_secret=Secret("swordfish"))
    assert "swordfish" not in repr(key)


def test_a_secret_is_not_encoded() -> None:
    """An encoder that meets a secret fails instead of writing it."""
    with pytest.raises(TypeError):
        msgspec.json.encode(Secret("swordfish"))


def test_secrets_are_equal_by_value() -> None:
    """Equal texts are equal secrets, a file is never equal to a text."""
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert SecretFile(Path("a")) == SecretFile(Path("a"))
    assert hash(SecretFile(Path("a"))) == hash(SecretFile(Path("a")))
    assert SecretFile(Path("a")) != Secret("")
    assert Secret("") != SecretFile(Path("a"))


def test_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    """A rotated secret is seen, and one newline at the end is no part of it."""
    path = tmp_path / "secret"
    secret = SecretFile(path)
    path.write_text("one\n", encoding="utf-8")
    assert secret.reveal() == "one"
    path.write_text("two\n\n", encoding="utf-8")
    assert secret.reveal() == "two\n"
    assert str(path) in repr(secret)
    assert f"{secret}" == "<secret>"


def test_a_file_that_is_not_there_raises(tmp_path: Path) -> None:
    """The system's error reaches whoever asks for the secret."""
    with pytest.raises(FileNotFoundError):
        SecretFile(tmp_path / "none").reveal()
