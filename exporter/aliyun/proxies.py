"""Which proxy a request goes through: the configured one, or what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from exporter.config.value_types import Unfit, parse_proxy

DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Proxy(NamedTuple):
    """An HTTP proxy, and the setting that names it."""

    url: str  # may hold a password: never shown
    setting: str  # `proxy`, or the name of an environment variable

    @property
    def shown(self) -> str:
        """Return host and port, without user and password."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def proxy_for(
    scheme: str, host: str, port: int, *, configured: str | None, environment: Mapping[str, str]
) -> Proxy | None:
    """Return the proxy for requests to a host; None: none.

    NO_PROXY does not concern the configured one. Variables count in lower case first. Raises ValueError if the proxy
    is not usable: the sentence names the setting, never its value.
    """
    if configured is not None:
        return _checked(configured, "proxy")
    name, proxy = _variable(f"{scheme}_proxy", environment)
    if not proxy or is_exempt(host, port, _variable("no_proxy", environment)[1]):
        return None
    return _checked(proxy if "://" in proxy else f"http://{proxy}", name)


def is_exempt(host: str, port: int, no_proxy: str) -> bool:
    """Whether NO_PROXY keeps requests to a host from the proxy.

    It lists names, which stand for what is below them too, `*.name` for that alone, addresses, networks as
    `10.0.0.0/8`, each perhaps with a port, and `*` for everything.
    """
    host = host.lower().rstrip(".")
    return any(
        name == "*" or (only_port in {None, port} and _matches(host, name)) for name, only_port in _entries(no_proxy)
    )


def _variable(name: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """Return a variable's name and value, of which the lower case one counts where both are set."""
    name = name if name in environment else name.upper()
    return name, environment.get(name, "").strip()


def _checked(url: str, setting: str) -> Proxy:
    try:
        return Proxy(parse_proxy(url), setting)
    except Unfit as expected:
        raise ValueError(f"{setting} is not a usable address of a proxy, expected {expected}") from None


def _entries(no_proxy: str) -> Iterator[tuple[str, int | None]]:
    for entry in re.split(r"[,\s]+", no_proxy.lower()):
        parts = re.fullmatch(r"(?:\[([^]]+)\]|([^:]+))(?::([0-9]{1,5}))?", entry)
        if parts:
            yield parts[1] or parts[2], int(parts[3]) if parts[3] else None
        elif entry:
            yield entry, None


def _matches(host: str, name: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False)
    except ValueError:
        pass
    if name.startswith("*."):
        return host.endswith(name[1:])
    name = name.strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))
