"""Secrets are used, compared and never shown."""

import os
from pathlib import Path

import msgspec
import pytest

from exporter.core.secret import Secret, SecretFile


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{:>20}".format, "%s".__mod__, lambda s: f"{[s]!r}"])
def test_a_secret_is_never_shown(show: object) -> None:
    """No way of turning a secret into a text has it."""
    assert callable(show)
    assert "<secret>" in show(Secret("swordfish"))
    assert "swordfish" not in show(Secret("swordfish"))


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


@pytest.mark.parametrize("around", ["", "\n", "\r\n", " \n\n", "\ufeff", "\t"])
def test_a_file_is_read_each_time(tmp_path: Path, around: str) -> None:
    """A rotated secret is seen; white space and byte order marks around it are not part of it."""
    path = tmp_path / "secret"
    secret = SecretFile(path)
    for text in ("one", "two"):
        path.write_text(f"{around}{text}{around}", encoding="utf-8")
        assert secret.reveal() == text
    assert str(path) in repr(secret)
    assert f"{secret}" == "<secret>"


def test_only_small_regular_files_are_secrets(tmp_path: Path) -> None:
    """A missing file, a FIFO that nobody writes, and an endless file raise without being read."""
    fifo, large = tmp_path / "fifo", tmp_path / "large"
    os.mkfifo(fifo)
    large.write_text("x" * 100_000)
    for path in (tmp_path / "none", fifo, large, Path("/dev/zero")):
        with pytest.raises(OSError, match=r"No such file|regular file|64 KiB"):
            SecretFile(path).reveal()
