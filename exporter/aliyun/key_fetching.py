"""Where a key comes from: for each configured kind, the blocking function that fetches it."""

import os
from collections.abc import Mapping
from pathlib import Path

from exporter.aliyun.credentials import Credentials, Fetch
from exporter.aliyun.errors import ApiError
from exporter.config import credentials as kinds
from exporter.config.secret import Secret, SecretFile
from exporter.state import State


def fetcher(
    kind: kinds.Credentials,
    *,
    proxy: str | None = None,
    ca_file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Fetch:
    """Return the function that fetches a key of the configured kind.

    The official library is imported when it is first needed: it costs half a second and 70 MiB, and a fixed key,
    also one in the environment, needs nothing of it.

    Args:
        kind: Where the key comes from.
        proxy: For the token service, as for the API.
        ca_file: What the token service's certificate is checked against, beside the system's trust.
        environment: Where the default chain looks first.
    """
    if isinstance(kind, kinds.AccessKey):
        return lambda: _fixed_key(kind)
    key = _key_of(environment) if isinstance(kind, kinds.DefaultChain) else None
    return _official(kind, proxy, ca_file) if key is None else lambda: key


def _official(kind: kinds.Credentials, proxy: str | None, ca_file: Path | None) -> Fetch:
    """Return a fetcher that goes through the official library."""
    fetch: Fetch | None = None

    def import_and_fetch() -> Credentials:
        nonlocal fetch
        if fetch is None:
            from exporter.aliyun.official import official_fetcher  # noqa: PLC0415 - heavy, most never need it

            fetch = official_fetcher(kind, proxy=proxy, ca_file=ca_file)
        return fetch()

    return import_and_fetch


def _key_of(environment: Mapping[str, str]) -> Credentials | None:
    """Return the key that stands in the environment itself."""
    access_key_id = environment.get("ALIBABA_CLOUD_ACCESS_KEY_ID")
    access_key_secret = environment.get("ALIBABA_CLOUD_ACCESS_KEY_SECRET")
    if not access_key_id or not access_key_secret:
        return None
    token = environment.get("ALIBABA_CLOUD_SECURITY_TOKEN")
    return Credentials(
        access_key_id=access_key_id,
        access_key_secret=Secret(access_key_secret),
        security_token=Secret(token) if token else None,
    )


def _fixed_key(key: kinds.AccessKey) -> Credentials:
    """Read a fixed key; secrets that stand in files are read now."""
    token = key.security_token
    return Credentials(
        access_key_id=key.access_key_id,
        access_key_secret=_read(key.access_key_secret, "access_key_secret"),
        security_token=None if token is None else _read(token, "security_token"),
    )


def _read(secret: Secret, name: str) -> Secret:
    """Return a secret's present value, which is never empty."""
    try:
        text = secret.reveal()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        where = f" {secret.path}" if isinstance(secret, SecretFile) else ""
        raise ApiError(State.AUTH_ERROR, f"{name}_file{where} cannot be read: {reason}") from None
    if not text:
        raise ApiError(State.AUTH_ERROR, f"{name} is empty: check the configuration")
    return Secret(text)
