"""How the official credentials library reaches token services: its transport, replaced.

Its own sends metadata requests through HTTP_PROXY, does not know NO_PROXY, follows a changed CA file never, takes a
proxy and authorities for the outermost provider alone, and reads answers of any size. Ours is used by all its
providers, also by those that a profile names, and takes proxy and authorities from `trusting_with`.
"""

import ipaddress
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from requests import PreparedRequest, Response, Session, exceptions
from requests.adapters import HTTPAdapter
from Tea.core import TeaCore
from Tea.response import TeaResponse

from exporter.aliyun.transport import DEFAULT_PORTS, Proxy, proxy_for, trusting
from exporter.config.mistakes import UsageError

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
    """Verifies certificates by a TLS context of ours."""

    def __init__(self, ca_file: Path | None) -> None:
        self._context = trusting(ca_file)
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Give the context to direct connections."""
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Give the context to connections through a proxy."""
        return super().proxy_manager_for(*args, **kwargs, ssl_context=self._context)


def _do_action(request: Any, runtime_option: Mapping[str, Any] | None = None) -> TeaResponse:
    """Send one request of a provider, and read its answer or raise TokenServiceError; the library calls this."""
    trust = _TRUST.get(Trust(None, None))
    options = runtime_option or {}
    prepared = PreparedRequest()
    proxy: Proxy | None = None
    try:
        prepared.prepare(
            method=request.method.upper(),
            url=TeaCore.compose_url(request),
            data=request.body,
            headers=request.headers,
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
        raise TokenServiceError(_why(error, proxy)) from None


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


def _why(error: Exception, proxy: Proxy | None) -> str:
    """Say why there is no answer, by the kind of exception alone."""
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
