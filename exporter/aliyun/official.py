"""The official credentials library, used so that its faults do no harm.

Importing this module imports that library, which costs half a second and 70 MiB. What is avoided of it:

* its caches, which renew a short token on every call and raise while the old one is good: each fetch makes a new
  provider and asks it once, and `CredentialsSource` does the keeping;
* its scheduler threads, which each default provider for the ECS role starts and never ends;
* its wrappers for files, which forget when a token expires;
* its loggers, which write what token services answer.
"""

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from alibabacloud_credentials import provider as providers
from alibabacloud_credentials.exceptions import CredentialException
from alibabacloud_credentials.http import HttpOptions
from alibabacloud_credentials.utils import auth_util
from Tea.exceptions import RetryError

from exporter.aliyun.credentials import Credentials, Fetch
from exporter.aliyun.errors import ApiError
from exporter.config import credentials as kinds
from exporter.config.secret import Secret
from exporter.state import State

_CONNECT_TIMEOUT_MS: Final = 3000
_READ_TIMEOUT_MS: Final = 5000
_MAX_WHY_CHARACTERS: Final = 120
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

Make = Callable[[], Any]
"""Makes a provider of the official library."""


class Trust(NamedTuple):
    """How token services are reached."""

    proxy: str | None
    ca_file: Path | None

    @property
    def options(self) -> Any:
        """Return the options of a provider that asks a token service."""
        return HttpOptions(proxy=self.proxy, connect_timeout=_CONNECT_TIMEOUT_MS, read_timeout=_READ_TIMEOUT_MS)

    def given_to(self, provider: Any) -> Any:
        """Let a provider trust `ca_file`, for which the library has a place but no parameter."""
        options = getattr(provider, "_runtime_options", None)
        if self.ca_file is not None and isinstance(options, dict):
            options["ca"] = str(self.ca_file)
        return provider


def official_fetcher(kind: kinds.Credentials, *, proxy: str | None, ca_file: Path | None) -> Fetch:
    """Return the blocking function that fetches a key of a kind that needs the official library."""
    for name in ("credentials", "alibabacloud-tea"):
        logging.getLogger(name).disabled = True
    sources = _sources(kind, Trust(proxy, ca_file))
    chosen: str | None = None

    def fetch() -> Credentials:
        """Ask one source after the other; the first that has a key is the only one from then on."""
        nonlocal chosen
        failures = []
        for name, make in sources.items():
            if chosen in {None, name}:
                try:
                    credentials = _fetch(make())
                except Exception as error:  # noqa: BLE001 - providers raise whatever befalls them
                    failures.append(f"{name} ({_why(error)})")
                else:
                    chosen = name
                    return credentials
        raise ApiError(State.AUTH_ERROR, f"no credentials to be had; tried {', '.join(failures)}")

    return fetch


def _sources(kind: kinds.Credentials, trust: Trust) -> Mapping[str, Make]:
    """Return what to ask, in order, by a name to show."""
    match kind:
        case kinds.EcsRamRole(role_name=role_name):
            return {"ECS RAM role": lambda: _ecs(role_name)}
        case kinds.RamRoleArn():
            return {"RAM role ARN": lambda: _ram_role(kind, trust)}
        case kinds.OidcRoleArn():
            return {"OIDC role ARN": lambda: _oidc_role(kind, trust)}
        case kinds.Profile(profile=profile):
            return {"CLI profile": lambda: _CliProfile(trust, profile)}
        case kinds.CredentialsUri(uri=uri):
            return {"credentials URI": lambda: _uri(uri, trust)}
        case _:
            return _default_chain(trust)


def _default_chain(trust: Trust) -> Mapping[str, Make]:
    """Return the official default chain, in its order."""
    chain: dict[str, Make] = {"environment": providers.EnvironmentVariableCredentialsProvider}
    if auth_util.enable_oidc_credential:
        chain["OIDC role ARN"] = lambda: trust.given_to(
            providers.OIDCRoleArnCredentialsProvider(http_options=trust.options)
        )
    chain["CLI profile"] = lambda: _CliProfile(trust, None)
    chain["credentials file"] = lambda: _CredentialsFile(trust)
    if auth_util.environment_ecs_metadata_disabled.lower() != "true":
        chain["ECS RAM role"] = lambda: _ecs(None)
    if auth_util.environment_credentials_uri:
        chain["credentials URI"] = lambda: _uri(auth_util.environment_credentials_uri, trust)
    return chain


def _ecs(role_name: str | None) -> Any:
    """Return the provider for the ECS role, without its thread."""
    return providers.EcsRamRoleCredentialsProvider(role_name=role_name, async_update_enabled=False)


def _ram_role(kind: kinds.RamRoleArn, trust: Trust) -> Any:
    """Return the provider that assumes a role with a key; secrets in files are read now."""
    return trust.given_to(
        providers.RamRoleArnCredentialsProvider(
            access_key_id=kind.access_key_id,
            access_key_secret=kind.access_key_secret.reveal(),
            security_token=kind.security_token.reveal() if kind.security_token else None,
            role_arn=kind.role_arn,
            role_session_name=kind.role_session_name,
            policy=kind.policy,
            duration_seconds=kind.duration_seconds,
            external_id=kind.external_id,
            sts_endpoint=kind.sts_endpoint,
            http_options=trust.options,
        )
    )


def _oidc_role(kind: kinds.OidcRoleArn, trust: Trust) -> Any:
    """Return the provider that assumes a role with an OIDC token."""
    return trust.given_to(
        providers.OIDCRoleArnCredentialsProvider(
            role_arn=kind.role_arn,
            oidc_provider_arn=kind.oidc_provider_arn,
            oidc_token_file_path=str(kind.oidc_token_file),
            role_session_name=kind.role_session_name,
            policy=kind.policy,
            duration_seconds=kind.duration_seconds,
            sts_endpoint=kind.sts_endpoint,
            http_options=trust.options,
        )
    )


def _uri(uri: str, trust: Trust) -> Any:
    """Return the provider that asks a credentials URI, whose port it can't do without."""
    parts = urlsplit(uri)
    if parts.port is None and parts.scheme in _DEFAULT_PORTS:
        parts = parts._replace(netloc=f"{parts.netloc}:{_DEFAULT_PORTS[parts.scheme]}")
    return trust.given_to(providers.URLCredentialsProvider(uri=parts.geturl(), http_options=trust.options))


class _CliProfile(providers.CLIProfileCredentialsProvider):  # type: ignore[misc] # the library is untyped
    """A profile of the command line's file, that shows the provider inside and starts no thread."""

    def __init__(self, trust: Trust, profile: str | None) -> None:
        super().__init__(profile_name=profile)
        self._trust = trust
        self.inner: Any = None

    def _get_credentials_provider(self, config: Any, profile_name: str) -> Any:
        """Make the provider that the profile describes; the library calls this."""
        for profile in config.get("profiles") or ():
            if profile.get("name") == profile_name and profile.get("mode") == "EcsRamRole":
                self.inner = _ecs(profile.get("ram_role_name"))
                return self.inner
        self.inner = self._trust.given_to(super()._get_credentials_provider(config, profile_name))
        return self.inner


class _CredentialsFile(providers.ProfileCredentialsProvider):  # type: ignore[misc] # the library is untyped
    """A section of the credentials file, that shows the provider inside and starts no thread."""

    def __init__(self, trust: Trust) -> None:
        super().__init__()
        self._trust = trust
        self.inner: Any = None

    def _get_credentials_provider(self, section: Any) -> Any:
        """Make the provider that the section describes; the library calls this."""
        if section.get("type") == "ecs_ram_role":
            self.inner = _ecs(section.get("role_name"))
        else:
            self.inner = self._trust.given_to(super()._get_credentials_provider(section))
        return self.inner


def _fetch(provider: Any) -> Credentials:
    """Ask a provider; of a file's, the provider inside knows when the token expires."""
    found = provider.get_credentials()
    if getattr(provider, "inner", None) is not None:
        found = provider.inner.get_credentials()
    access_key_id, secret = found.get_access_key_id(), found.get_access_key_secret()
    if not access_key_id or not secret:
        raise ValueError
    token = found.get_security_token()
    return Credentials(
        access_key_id=access_key_id,
        access_key_secret=Secret(secret),
        security_token=Secret(token) if token else None,
        expires_at=found.get_expiration() or None,
    )


def _why(error: Exception) -> str:
    """Say why a source has no key, without what a token service answered: that may quote the request."""
    text = str(getattr(error, "message", None) or error)
    status = re.search(r"http_?code[:=]\s*(\d{3})", text, re.IGNORECASE)
    code = re.search(r'"Code"\s*:\s*"([A-Za-z0-9._-]{1,64})"', text)
    if status or code:
        return " ".join(filter(None, [f"status {status[1]}" if status else "", code[1] if code else ""]))
    if isinstance(error, RetryError):
        cause = type(error.__context__).__name__
        if "SSL" in cause:
            return "its certificate is not trusted: set ca_file"
        return "no answer in time" if "Timeout" in cause else "cannot be reached"
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    if isinstance(error, CredentialException):
        return text.partition(":")[0][:_MAX_WHY_CHARACTERS]
    return "an answer or a setting that is incomplete"
