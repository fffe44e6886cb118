"""Where a key comes from: for each configured kind, what fetches it, blocking."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from exporter.aliyun.credentials import Credentials, KeySource, checked_key
from exporter.aliyun.errors import ApiError
from exporter.config import credentials as kinds
from exporter.config.secret import Secret, SecretFile
from exporter.state import State

if TYPE_CHECKING:
    from exporter.aliyun.official import OfficialSources

_KEY_VARIABLES: Final = (
    "ALIBABA_CLOUD_ACCESS_KEY_ID",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    "ALIBABA_CLOUD_SECURITY_TOKEN",
)


def key_source(
    kind: kinds.Credentials,
    *,
    proxy: str | None = None,
    ca_file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> KeySource:
    """Return what fetches a key of the configured kind.

    The official library is imported when it is first needed: it costs half a second and 70 MiB, and a fixed key,
    also one in the environment, needs nothing of it.

    Args:
        kind: Where the key comes from.
        proxy: For the token service, as for the API.
        ca_file: What the token service's certificate is checked against, beside the system's trust.
        environment: Where the default chain looks first.
    """
    if isinstance(kind, kinds.AccessKey):
        files = _secret_files(kind.access_key_secret, kind.security_token)
        return KeySource(fetch=lambda: _fixed_key(kind), files=files, is_constant=not files)
    if isinstance(kind, kinds.DefaultChain) and any(environment.get(name) for name in _KEY_VARIABLES[:2]):
        return KeySource(fetch=lambda: _key_of(environment), is_constant=True)
    official = _Official(kind, proxy, ca_file)
    return KeySource(fetch=official.fetch, files=_files_of(kind, environment), start_over=official.start_over)


class _Official:
    """The sources of the official library, which the first fetch imports."""

    def __init__(self, kind: kinds.Credentials, proxy: str | None, ca_file: Path | None) -> None:
        self._kind = kind
        self._proxy = proxy
        self._ca_file = ca_file
        self._sources: OfficialSources | None = None

    def fetch(self) -> Credentials:
        """Fetch a key."""
        if self._sources is None:
            from exporter.aliyun.official import OfficialSources  # noqa: PLC0415 - heavy, most never need it

            self._sources = OfficialSources(self._kind, proxy=self._proxy, ca_file=self._ca_file)
        return self._sources.fetch()

    def start_over(self) -> None:
        """Choose the source anew."""
        if self._sources is not None:
            self._sources.start_over()


def _files_of(kind: kinds.Credentials, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the files whose change may bring another key; an OIDC token is read when a role is assumed."""
    home = Path(environment.get("HOME") or "~").expanduser()
    profiles = home / ".aliyun" / "config.json"
    match kind:
        case kinds.RamRoleArn():
            return _secret_files(kind.access_key_secret, kind.security_token)
        case kinds.Profile():
            return (profiles,)
        case kinds.DefaultChain():
            named = environment.get("ALIBABA_CLOUD_CREDENTIALS_FILE")
            return profiles, Path(named) if named else home / ".alibabacloud" / "credentials.ini"
        case _:
            return ()


def _secret_files(*secrets: Secret | None) -> tuple[Path, ...]:
    """Return the files that secrets are read from."""
    return tuple(secret.path for secret in secrets if isinstance(secret, SecretFile))


def _key_of(environment: Mapping[str, str]) -> Credentials:
    """Return the key that the environment has; half a key is an error, no other identity takes its place."""
    values = [environment.get(name, "") for name in _KEY_VARIABLES]
    return checked_key("environment", *values, names=_KEY_VARIABLES)


def _fixed_key(key: kinds.AccessKey) -> Credentials:
    """Read a fixed key; secrets that are in files are read now."""
    secret = _read(key.access_key_secret, "access_key_secret")
    token = _read(key.security_token, "security_token") if key.security_token else None
    return checked_key("access_key", key.access_key_id, secret, token)


def _read(secret: Secret, name: str) -> str:
    """Return a secret's present value, which is never empty."""
    try:
        text = secret.reveal()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        where = f" {secret.path}" if isinstance(secret, SecretFile) else ""
        raise ApiError(State.AUTH_ERROR, f"{name}_file{where} cannot be read: {reason}") from None
    if not text:
        raise ApiError(State.AUTH_ERROR, f"{name} is empty: check the configuration")
    return text
