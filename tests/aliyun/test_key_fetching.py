"""Fixed keys are read without the official library, from configuration, files or environment."""

import subprocess
import sys
from pathlib import Path

import pytest

from exporter.aliyun.credentials import key_source
from exporter.aliyun.errors import ApiError
from exporter.config.credential_kinds import AccessKey, DefaultChain
from exporter.core.collection_state import State
from exporter.core.secret import Secret, SecretFile


def test_a_fixed_key_is_what_stands_in_the_configuration() -> None:
    """Id, secret and token come as they were configured, without an expiry."""
    key = key_source(AccessKey(access_key_id="id", access_key_secret=Secret("s"), security_token=Secret("t"))).fetch()
    assert (key.access_key_id, key.access_key_secret, key.security_token) == ("id", Secret("s"), Secret("t"))
    assert key.expires_at is None


def test_a_secret_in_a_file_is_read_at_each_fetch(tmp_path: Path) -> None:
    """Keys rotate: each fetch reads the file as it is then."""
    path = tmp_path / "secret"
    fetch = key_source(AccessKey(access_key_id="id", access_key_secret=SecretFile(path))).fetch
    for secret in ("first", "second"):
        path.write_text(f"{secret}\n")
        assert fetch().access_key_secret == Secret(secret)


@pytest.mark.parametrize(("content", "reason"), [(None, "cannot be read"), (b"", "is empty"), (b"\xff", "not UTF-8")])
def test_an_unusable_secret_file_is_named(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """A file that is missing, empty or no text is an auth_error that says which setting it is."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ApiError, match=reason) as caught:
        key_source(AccessKey(access_key_id="id", access_key_secret=SecretFile(path))).fetch()
    assert caught.value.state is State.AUTH_ERROR
    assert "access_key_secret" in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        (("id", None, None), "ALIBABA_CLOUD_ACCESS_KEY_SECRET is empty"),
        ((None, "hunter2", None), "ALIBABA_CLOUD_ACCESS_KEY_ID is empty"),
        ((" \ufeffid\n", "hun ter2", None), "ALIBABA_CLOUD_ACCESS_KEY_SECRET is not usable"),
        (("i\nd", "hunter2", None), "ALIBABA_CLOUD_ACCESS_KEY_ID is not usable"),
        (("id", "hunter2", "hunter\u00e9"), "ALIBABA_CLOUD_SECURITY_TOKEN is not usable"),
        ((" \ufeffid\r\n", "\tsecret ", " "), None),
    ],
)
def test_a_key_of_the_environment_is_whole_and_can_be_sent(
    variables: tuple[str | None, ...], reason: str | None
) -> None:
    """White space around it is no part of it; half a key, or one that is no key, is named and never replaced."""
    names = ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN")
    environment = {name: value for name, value in zip(names, variables, strict=True) if value is not None}
    source = key_source(DefaultChain(), environment=environment)
    if reason is None:
        key = source.fetch()
        assert (key.access_key_id, key.access_key_secret, key.security_token) == ("id", Secret("secret"), None)
        return
    with pytest.raises(ApiError, match=reason) as caught:
        source.fetch()
    assert "hun" not in str(caught.value)


def test_the_default_chain_begins_with_the_environment() -> None:
    """A whole key in the environment is used as it is."""
    environment = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "s"}
    assert key_source(DefaultChain(), environment=environment).fetch().security_token is None
    environment["ALIBABA_CLOUD_SECURITY_TOKEN"] = "t"
    key = key_source(DefaultChain(), environment=environment).fetch()
    assert (key.access_key_id, key.access_key_secret, key.security_token) == ("id", Secret("s"), Secret("t"))


@pytest.mark.processes
def test_fixed_keys_do_not_import_the_official_library() -> None:
    """Neither importing the client nor fetching a fixed key loads the official library."""
    program = """
import sys
import exporter.aliyun.client
from exporter.aliyun.credentials import key_source
from exporter.config.credential_kinds import AccessKey, DefaultChain
from exporter.core.secret import Secret
key_source(AccessKey(access_key_id="id", access_key_secret=Secret("s"))).fetch()
key = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "s"}
key_source(DefaultChain(), environment=key).fetch()
print([name for name in sys.modules if name.partition(".")[0] in {"alibabacloud_credentials", "Tea", "requests"}])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert result.stdout.strip() == "[]"
