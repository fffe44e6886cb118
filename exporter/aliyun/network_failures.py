"""From a request without an answer to an `ApiError`: what the exceptions of the network and its libraries mean."""

import errno
import ssl

import aiohttp

from exporter.aliyun.errors import ApiError
from exporter.aliyun.proxies import Proxy
from exporter.state import State


def transport_failure(error: Exception, *, host: str, port: int, proxy: Proxy | None) -> ApiError:
    """Say why no answer came, by settings and host names, never by what an exception quotes.

    Args:
        error: What was raised while a request was made, sent or answered.
        host: Whom the request was for.
        port: Its port.
        proxy: Through whom; None: directly.
    """
    if isinstance(error, TimeoutError):
        through = f" through the proxy {proxy.shown}" if proxy else ""
        return ApiError(
            State.TIMEOUT,
            f"{host}:{port} did not answer in time{through}: check the network, or raise request_timeout",
            retryable=True,
        )
    sentence = (proxy and _proxy_sentence(error, f"{host}:{port}", proxy)) or _network_sentence(error, host, port)
    if sentence is not None:
        return ApiError(State.NETWORK_ERROR, sentence, retryable=True)
    settings = f"endpoint, {proxy.setting}" if proxy else "endpoint"
    return ApiError(
        State.NETWORK_ERROR,
        f"no request could be made for {host}:{port} ({type(error).__name__}): check {settings} and the credentials",
    )


def _proxy_sentence(error: Exception, where: str, proxy: Proxy) -> str | None:
    """Say what is wrong with the proxy; None: nothing that is known."""
    match error:
        case aiohttp.ClientHttpProxyError(status=407):
            return f"the proxy {proxy.shown} demands a login: check user and password of {proxy.setting}"
        case aiohttp.ClientHttpProxyError(status=status):
            return f"the proxy {proxy.shown} refused to connect to {where} with status {status}"
        case aiohttp.ClientConnectorDNSError():
            return f"the proxy {proxy.shown} cannot be resolved: check {proxy.setting} and the DNS of this machine"
        case aiohttp.ClientProxyConnectionError():
            return f"the proxy {proxy.shown} cannot be reached: check {proxy.setting}"
        case _:
            return None


def _network_sentence(error: Exception, host: str, port: int) -> str | None:
    """Tell the kinds of failure apart that need different hands; None: it is none of the network."""
    where = f"{host}:{port}"
    match error:
        case aiohttp.ClientConnectorCertificateError():
            sentence = f"the certificate of {host} is not trusted: set ca_file if a proxy in between signs with its own"
        case aiohttp.ClientConnectorSSLError() | ssl.SSLError():
            sentence = f"no TLS with {where}: check that the endpoint's scheme and port are right"
        case aiohttp.ClientConnectorDNSError():
            sentence = f"{host} cannot be resolved: check endpoint and the DNS of this machine"
        case OSError(errno=errno.ECONNREFUSED):
            sentence = f"{where} refuses connections: check endpoint"
        case OSError(errno=errno.ENETUNREACH | errno.EHOSTUNREACH | errno.ETIMEDOUT):
            sentence = f"{where} cannot be reached: check the network, its routes and firewalls"
        case aiohttp.ClientResponseError():
            sentence = f"{where} does not speak HTTP: check that the endpoint's scheme and port are right"
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError() | OSError():
            sentence = f"the connection to {where} broke off: if that lasts, look for a proxy or firewall in between"
        case _:
            return None
    return sentence
