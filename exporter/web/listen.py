"""From `--web.listen-address` to a listening socket."""

import asyncio
import os
import socket
from typing import NamedTuple


class ListenError(Exception):
    """An address that can't be listened on; `str()` is one line that says which, why and what to do."""


class ListenAddress(NamedTuple):
    """Where to listen."""

    host: str
    """A name or an IP address; empty: all addresses of the machine, IPv6 included where there is IPv6."""
    port: int
    """0: any free one."""


def parse_listen_address(text: str) -> ListenAddress:
    """Read `:10678`, `localhost:10678`, `192.0.2.1:10678` or `[::1]:10678`.

    Raises:
        ListenError: The text is none of these.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    well_formed = colon and port.isascii() and port.isdigit() and int(port) <= 65535
    if not well_formed or (":" in host) != bracketed or not host.isprintable() or " " in host:
        raise ListenError(f"listen address {text!r}: expected :PORT, HOST:PORT or [IPV6]:PORT, for example :10678")
    return ListenAddress(host, int(port))


async def bind(address: ListenAddress) -> socket.socket:
    """Return a listening socket; a host name that has several addresses is bound to one, IPv4 first.

    Raises:
        ListenError: The port is taken or not allowed, or the host is not one of this machine.
    """
    try:
        if not address.host:
            return _bind_everywhere(address.port)
        found = await asyncio.get_running_loop().getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, resolved = min(found, key=lambda one: one[0] != socket.AF_INET)
        return socket.create_server(resolved[:2], family=family)
    except (OSError, UnicodeError) as error:
        raise ListenError(
            f"can't listen on {shown(address.host, address.port)}: {_reason(error)}; "
            "stop what uses it or choose another --web.listen-address"
        ) from error


def shown(host: str, port: int) -> str:
    """Write an address as it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reason(error: OSError | UnicodeError) -> str:
    """Say what the system says, without the address that Python adds."""
    if isinstance(error, UnicodeError):
        return "this is no host name"
    if isinstance(error, socket.gaierror) or error.errno is None:
        return error.strerror or str(error)
    return os.strerror(error.errno)


def _bind_everywhere(port: int) -> socket.socket:
    """Bind one socket for IPv4 and IPv6, so that port 0 means one port; IPv4 alone where there is no IPv6."""
    if socket.has_dualstack_ipv6() and _has_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _has_ipv6() -> bool:
    """Whether IPv6 is not only compiled in but switched on."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True
