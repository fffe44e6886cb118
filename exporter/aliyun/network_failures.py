"""From a request without an answer to an `ApiError`: what the network's exceptions mean."""

import errno
import ssl

import aiohttp

from exporter.aliyun.errors import ApiError
from exporter.state import State


def transport_failure(error: Exception, *, host: str, port: int, proxy: str | None) -> ApiError:
    """Say why no answer came.

    Args:
        error: What aiohttp raised, or a TimeoutError.
        host: Whom the request was for.
        port: Its port.
        proxy: Through whom, without user and password; None: directly, or as the environment says.
    """
    if isinstance(error, TimeoutError):
        return ApiError(
            State.TIMEOUT,
            f"{host}:{port} did not answer in time: check the network, or raise request_timeout",
            retryable=True,
        )
    return ApiError(State.NETWORK_ERROR, _network_sentence(error, host, port, proxy), retryable=True)


def _network_sentence(error: Exception, host: str, port: int, proxy: str | None) -> str:
    """Tell the kinds of failure apart that need different hands."""
    where = f"{host}:{port}"
    match error:
        case aiohttp.ClientHttpProxyError(status=407):
            sentence = f"the proxy {proxy or 'of HTTPS_PROXY'} demands a login: check proxy's user and password"
        case aiohttp.ClientHttpProxyError(status=status):
            sentence = f"the proxy {proxy or 'of HTTPS_PROXY'} refused to connect to {where} with status {status}"
        case aiohttp.ClientProxyConnectionError():
            sentence = f"the proxy {proxy or 'of HTTPS_PROXY'} cannot be reached: check proxy"
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
        case _:
            sentence = f"the connection to {where} broke off: if that lasts, look for a proxy or firewall in between"
    return sentence
