"""The official credentials library, used so that its faults do no harm.

Importing this module imports that library, which costs half a second and 70 MiB. What is avoided of it:

* its caches, which renew a short token on every call and raise while the old one is good: each fetch makes a new
  provider and asks it once, and `CredentialsSource` does the keeping;
* its scheduler threads, which each default provider for the ECS role starts and never ends;
* its wrappers for files, which forget when a token expires;
* its default chain, which moves on to another identity when the configured one fails for a moment;
* its transport, which sends metadata requests through HTTP_PROXY, does not know NO_PROXY, follows a changed CA file
  never, takes a proxy and authorities for the outermost provider alone, and reads answers of any size: ours is used by
  all providers, also by those that a profile names, and takes proxy and authorities from `trusting_with`;
* its loggers, which write what token services answer.
"""

import configparser
import ipaddress
import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from alibabacloud_credentials import provider as providers
from alibabacloud_credentials.exceptions import CredentialException
from alibabacloud_credentials.utils import auth_constant, auth_util
from requests import PreparedRequest, Response, Session, exceptions
from requests.adapters import HTTPAdapter
from Tea.core import TeaCore
from Tea.response import TeaResponse

from exporter.aliyun.credentials import Credentials, checked_key
from exporter.aliyun.errors import ApiError
from exporter.aliyun.transport import DEFAULT_PORTS, Proxy, proxy_for, trusting
from exporter.config import model
from exporter.config.mistakes import UsageError
from exporter.core.collection_state import State
from exporter.core.secret import Secret

METADATA_ADDRESS: Final = "100.100.100.200"
_CONNECT_TIMEOUT_SECONDS: Final = 3.0
_READ_TIMEOUT_SECONDS: Final = 5.0
_MAX_BODY_BYTES: Final = 1024 * 1024


class Trust(NamedTuple):
    """How token services are reached."""

    proxy: str | None
    ca_file: Path | None


class TokenServiceError(Exception):
    """A token service could not be asked; `str()` says why, without what was sent or answered."""


_TRUST: Final[ContextVar[Trust]] = ContextVar("trust")


@contextmanager
def trusting_with(trust: Trust) -> Iterator[None]:
    """Let all providers that are asked in this context reach token services by `trust`."""
    TeaCore.do_action = staticmethod(_do_action)
    token = _TRUST.set(trust)
    try:
        yield
    finally:
        _TRUST.reset(token)


class _Adapter(HTTPAdapter):
    def __init__(self, ca_file: Path | None) -> None:
        self._context = trusting(ca_file)
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return super().proxy_manager_for(*args, **kwargs, ssl_context=self._context)


def _do_action(request: Any, runtime_option: Mapping[str, Any] | None = None) -> TeaResponse:
    """Send one request of a provider, and read its answer or raise TokenServiceError; the library calls this."""
    trust = _TRUST.get(Trust(None, None))
    options = runtime_option or {}
    prepared = PreparedRequest()
    proxy: Proxy | None = None
    try:
        prepared.prepare(
            method=request.method.upper(), url=TeaCore.compose_url(request), data=request.body, headers=request.headers
        )
        proxy = _proxy_of(str(prepared.url), trust)
        with Session() as session:
            session.trust_env = False
            session.mount("https://", _Adapter(trust.ca_file))
            with session.send(
                prepared,
                proxies={urlsplit(prepared.url).scheme: proxy.url} if proxy else {},
                timeout=(
                    min(_CONNECT_TIMEOUT_SECONDS, int(options.get("connectTimeout") or 60_000) / 1000),
                    min(_READ_TIMEOUT_SECONDS, int(options.get("readTimeout") or 60_000) / 1000),
                ),
                allow_redirects=False,
                stream=True,
            ) as answer:
                return _response(answer)
    except TokenServiceError:
        raise
    except Exception as error:  # noqa: BLE001 - hosts, proxies and answers fail in the ways of several libraries
        raise TokenServiceError(_why_unanswered(error, proxy)) from None


def _response(answer: Response) -> TeaResponse:
    response = TeaResponse()
    response.status_code = answer.status_code
    response.status_message = answer.reason
    response.headers = {name.lower(): value for name, value in answer.headers.items()}
    response.body = b""
    for piece in answer.iter_content(64 * 1024):
        response.body += piece
        if len(response.body) > _MAX_BODY_BYTES:
            raise TokenServiceError("its answer has more than 1 MiB")
    return response


def _proxy_of(url: str, trust: Trust) -> Proxy | None:
    """Return the proxy for a URL: never for metadata and this machine, for https the account's own first."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    if parts.scheme == "http" and _is_near(host):
        return None
    configured = trust.proxy if parts.scheme == "https" else None
    try:
        return proxy_for(parts.scheme, host, port, configured=configured, environment=os.environ)
    except ValueError as error:
        raise TokenServiceError(str(error)) from None


def _is_near(host: str) -> bool:
    if host in {METADATA_ADDRESS, "localhost"}:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_link_local


def _why_unanswered(error: Exception, proxy: Proxy | None) -> str:
    match error:
        case exceptions.ProxyError() if proxy:
            return f"the proxy {proxy.shown} cannot be reached or refuses: check {proxy.setting}"
        case exceptions.SSLError():
            return "its certificate is not trusted: set ca_file"
        case exceptions.Timeout():
            return "no answer in time"
        case exceptions.ConnectionError():
            return "cannot be reached"
        case UsageError():
            return str(error)
        case _:
            return f"its address or answer is not usable ({type(error).__name__})"


_MAX_WHY_CHARACTERS: Final = 120


class _Source(NamedTuple):
    name: str  # as the metric has it
    title: str  # in a sentence
    make: Callable[[], Any]  # makes a provider of the official library
    missing: Callable[[], str | None] = lambda: None  # says why it is not set up; None: it is
    is_decisive: bool = True  # it was set up by someone: if it fails, no other source takes its place


class OfficialSources:
    """Fetches keys of a kind that needs the official library; `proxy` is for token services reached by https."""

    def __init__(self, kind: model.Credentials, *, proxy: str | None, ca_file: Path | None) -> None:
        for name in ("credentials", "alibabacloud-tea"):
            logging.getLogger(name).disabled = True
        self._sources = _sources(kind)
        self._trust = Trust(proxy, ca_file)
        self._chosen: str | None = None

    def fetch(self) -> Credentials:
        """Ask the first source that is set up, and from then on only this one; raises ApiError (auth_error)."""
        failures = []
        with trusting_with(self._trust):
            for source in self._sources:
                if self._chosen not in {None, source.name}:
                    continue
                missing = None if self._chosen else source.missing()
                if missing is not None:
                    failures.append(f"{source.title} ({missing})")
                    continue
                try:
                    credentials = _fetch(source)
                except Exception as error:  # noqa: BLE001 - providers raise whatever befalls them
                    failures.append(f"{source.title} ({_why(error)})")
                    if source.is_decisive:
                        break
                else:
                    self._chosen = source.name
                    return credentials
        raise ApiError(State.AUTH_ERROR, f"no credentials found; tried {', '.join(failures)}")


def _sources(kind: model.Credentials) -> tuple[_Source, ...]:
    match kind:
        case model.EcsRamRole(role_name=role_name):
            return (_Source("ecs_ram_role", "ECS RAM role", lambda: _ecs(role_name)),)
        case model.RamRoleArn():
            role = providers.RamRoleArnCredentialsProvider
            return (_Source("ram_role_arn", "RAM role ARN", lambda: role(**_settings(kind))),)
        case model.OidcRoleArn():
            oidc = providers.OIDCRoleArnCredentialsProvider
            return (_Source("oidc_role_arn", "OIDC role ARN", lambda: oidc(**_settings(kind))),)
        case model.Profile(profile=profile):
            return (_Source("profile", "CLI profile", lambda: _CliProfile(profile_name=profile)),)
        case model.CredentialsUri(uri=uri):
            return (_Source("credentials_uri", "credentials URI", lambda: _uri(uri)),)
        case _:
            return _default_chain()


def _default_chain() -> tuple[_Source, ...]:
    """Return the official default chain; only an ECS role that is not named is set up by nobody."""
    return (
        _Source("environment", "environment", providers.EnvironmentVariableCredentialsProvider, lambda: "not set"),
        _Source(
            "oidc_role_arn",
            "OIDC role ARN",
            providers.OIDCRoleArnCredentialsProvider,
            lambda: None if auth_util.enable_oidc_credential else "not set",
        ),
        _Source("profile", "CLI profile", _CliProfile, _missing_profile),
        _Source("credentials_file", "credentials file", _CredentialsFile, _missing_section),
        _Source(
            "ecs_ram_role",
            "ECS RAM role",
            lambda: _ecs(None),
            lambda: "disabled" if auth_util.environment_ecs_metadata_disabled.lower() == "true" else None,
            is_decisive=bool(auth_util.environment_ecs_metadata),
        ),
        _Source(
            "credentials_uri",
            "credentials URI",
            lambda: _uri(auth_util.environment_credentials_uri),
            lambda: None if auth_util.environment_credentials_uri else "not set",
        ),
    )


def _missing_profile() -> str | None:
    """Say why the command line's file has no profile for us; None: it has, or it is damaged."""
    path = Path(auth_constant.HOME, ".aliyun", "config.json")
    if auth_util.environment_cli_profile_disabled.lower() == "true":
        return "disabled"
    if not path.is_file():
        return f"no file {path}"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        wanted = auth_util.environment_profile_name or content.get("current")
        profile = next((profile for profile in content["profiles"] if profile.get("name") == wanted), None)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    if profile is None or (profile.get("mode") in {None, "", "AK"} and not profile.get("access_key_id")):
        return f"no profile {wanted} with a key in {path}"
    return None


def _missing_section() -> str | None:
    """Say why the credentials file has no section for us; None: it has, or it is damaged."""
    path = Path(auth_util.environment_credentials_file or Path(auth_constant.HOME, ".alibabacloud", "credentials.ini"))
    if not path.is_file():
        return f"no file {path}"
    try:
        parser = configparser.ConfigParser()
        parser.read(path, encoding="utf-8")
    except (OSError, ValueError, configparser.Error):
        return None
    return None if parser.has_section(auth_util.client_type) else f"no section {auth_util.client_type} in {path}"


def _ecs(role_name: str | None) -> Any:
    return providers.EcsRamRoleCredentialsProvider(role_name=role_name, async_update_enabled=False)


def _settings(kind: model.RamRoleArn | model.OidcRoleArn) -> dict[str, Any]:
    """Return what is configured under the library's names; secrets in files are read now."""
    settings = {name: getattr(kind, name) for name in type(kind).model_fields if name != "type"}
    if isinstance(kind, model.OidcRoleArn):
        settings["oidc_token_file_path"] = str(settings.pop("oidc_token_file"))
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in settings.items()}


def _uri(uri: str) -> Any:
    parts = urlsplit(uri)
    if parts.port is None and parts.scheme in DEFAULT_PORTS:
        parts = parts._replace(netloc=f"{parts.netloc}:{DEFAULT_PORTS[parts.scheme]}")
    return providers.URLCredentialsProvider(uri=parts.geturl())


class _CliProfile(providers.CLIProfileCredentialsProvider):  # type: ignore[misc] # the library is untyped
    """A profile of the command line's file, that shows the provider inside and starts no thread."""

    inner: Any = None

    def _get_credentials_provider(self, config: Any, profile_name: str) -> Any:
        for profile in config.get("profiles") or ():
            if profile.get("name") == profile_name and profile.get("mode") == "EcsRamRole":
                self.inner = _ecs(profile.get("ram_role_name"))
                return self.inner
        self.inner = super()._get_credentials_provider(config, profile_name)
        return self.inner


class _CredentialsFile(providers.ProfileCredentialsProvider):  # type: ignore[misc] # the library is untyped
    """A section of the credentials file, that shows the provider inside and starts no thread."""

    inner: Any = None

    def _get_credentials_provider(self, section: Any) -> Any:
        if section.get("type") == "ecs_ram_role":
            self.inner = _ecs(section.get("role_name"))
        else:
            self.inner = super()._get_credentials_provider(section)
        return self.inner


def _fetch(source: _Source) -> Credentials:
    """Ask a source; of a file's, the provider inside knows when the token expires."""
    provider = source.make()
    found = provider.get_credentials()
    if inner := getattr(provider, "inner", None):
        found = inner.get_credentials()
    return checked_key(
        source.name,
        found.get_access_key_id() or "",
        found.get_access_key_secret() or "",
        found.get_security_token(),
        expires_at=found.get_expiration() or None,
    )


def _why(error: Exception) -> str:
    """Say why a source has no key, without what a token service answered: that may quote the request."""
    if isinstance(error, (ApiError, TokenServiceError)):
        return str(error)
    text = str(getattr(error, "message", None) or error)
    status = re.search(r"http_?code[:=]\s*(\d{3})", text, re.IGNORECASE)
    code = re.search(r'"Code"\s*:\s*"([A-Za-z0-9._-]{1,64})"', text)
    if status or code:
        return " ".join(filter(None, [f"status {status[1]}" if status else "", code[1] if code else ""]))
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    if isinstance(error, CredentialException):
        return text.partition(":")[0][:_MAX_WHY_CHARACTERS]
    return "an answer or a setting that is incomplete"
