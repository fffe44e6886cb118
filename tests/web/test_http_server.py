"""Listening and ending."""

import asyncio
import errno
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientConnectionError, ClientSession, web
from aiohttp.typedefs import Handler

from exporter.web.application import application
from exporter.web.http_server import (
    DEFAULT_LIMITS,
    Limits,
    ListenAddress,
    ListenError,
    Running,
    bind,
    parse_listen_address,
    start,
)
from tests.support.monitored import until
from tests.support.virtual_time import SetClock
from tests.web.fake_view import FakeView


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    """A client."""
    async with ClientSession() as session:
        yield session


@asynccontextmanager
async def serving(
    *addresses: str, view: FakeView | None = None, limits: Limits = DEFAULT_LIMITS
) -> AsyncIterator[Running]:
    """Serve a fake view."""
    sockets = [await bind(parse_listen_address(address)) for address in addresses]
    running = await start(application(view or FakeView(), SetClock(), limits=limits), sockets, limits=limits)
    try:
        yield running
    finally:
        await running.close(1)


async def answering(handler: Handler) -> Running:
    """Serve a handler at `/`."""
    app = web.Application()
    app.add_routes([web.get("/", handler)])
    return await start(app, [socket.create_server(("127.0.0.1", 0))])


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":10678", ListenAddress("", 10678)),
        ("localhost:0", ListenAddress("localhost", 0)),
        ("192.0.2.1:80", ListenAddress("192.0.2.1", 80)),
        ("[::1]:10678", ListenAddress("::1", 10678)),
    ],
)
def test_listen_addresses_are_read(text: str, address: ListenAddress) -> None:
    """All documented forms are understood."""
    assert parse_listen_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "10678", "localhost", ":port", ":65536", ":-1", ":" + "9" * 5000, ":٣", "::1:80", "a b:80", "[a]:80"]
)
def test_other_forms_are_refused_with_an_example(text: str) -> None:
    """A misspelt address is one line that names it and shows what is expected."""
    with pytest.raises(ListenError, match=r"^listen address .*expected .*\[IPV6\]:PORT.*:10678$"):
        parse_listen_address(text)


async def test_it_listens_on_several_addresses(session: ClientSession) -> None:
    """Each address is served, and port 0 becomes the real one."""
    async with serving("127.0.0.1:0", "localhost:0") as running:
        assert len(running.addresses) == 2
        for address in running.addresses:
            assert re.fullmatch(r"127\.0\.0\.1:[1-9]\d+", address)
            async with session.get(f"http://{address}/-/healthy") as answer:
                assert answer.status == 200


async def test_an_empty_host_is_every_address_on_one_port(session: ClientSession) -> None:
    """`:0` is one port, reached by IPv4 and, where there is IPv6, by IPv6."""
    async with serving(":0") as running:
        (address,) = running.addresses
        for host in ["127.0.0.1", "[::1]"] if address.startswith("[::]") else ["127.0.0.1"]:
            async with session.get(f"http://{host}:{address.rpartition(':')[2]}/-/healthy") as answer:
                assert answer.status == 200


async def test_without_ipv6_it_is_every_address_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where IPv6 is switched off there is no such address; anything else that fails is an error."""
    create_server = socket.create_server

    def create(address: tuple[str, int], *, family: int = socket.AF_INET, **options: bool) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(reason, os.strerror(reason))
        return create_server(address, family=family, **options)

    monkeypatch.setattr(socket, "create_server", create)
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: True)
    reason = errno.EADDRNOTAVAIL
    async with serving(":0") as running:
        assert running.addresses[0].startswith("0.0.0.0:")
    reason = errno.EADDRINUSE
    with pytest.raises(ListenError, match="Address already in use"):
        await bind(parse_listen_address(":0"))


async def test_a_busy_port_is_one_clear_line() -> None:
    """A port that is taken says which, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(ListenError) as refused:
            await bind(ListenAddress("127.0.0.1", port))
        message = str(refused.value)
        assert message.startswith(f"can't listen on 127.0.0.1:{port}: Address already in use; ")
        assert "\n" not in message


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("192.0.2.1:0", "Cannot assign requested address"),
        ("x" * 64 + ":0", "this is no host name"),
    ],
)
async def test_a_host_that_is_not_this_machine_is_a_clear_error(address: str, reason: str) -> None:
    """An address that this machine does not have, or a name that can't be one, is refused with the reason."""
    with pytest.raises(ListenError) as refused:
        await bind(parse_listen_address(address))
    assert str(refused.value).startswith(f"can't listen on {address}: {reason}; ")


def test_a_name_that_is_not_known_may_be_later() -> None:
    """The line says to start again, and the exit code lets a service manager do so."""
    error = ListenError.of("later.example", 80, socket.gaierror(socket.EAI_NONAME, "not known"))
    assert error.is_absent
    assert "not known; start again when this machine has the address" in str(error)


async def test_a_socket_that_cannot_be_served_leaves_none_served() -> None:
    """What began to listen before it ends again, and so does the application."""
    app, ended = web.Application(), asyncio.Event()

    async def note(_app: web.Application) -> None:
        ended.set()

    app.on_cleanup.append(note)
    good, bad = socket.create_server(("127.0.0.1", 0)), socket.socket(type=socket.SOCK_DGRAM)
    address = good.getsockname()
    with bad, pytest.raises(ValueError, match="Stream Socket"):
        await start(app, [good, bad])
    assert ended.is_set()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


async def test_closing_lets_answers_under_way_finish(session: ClientSession) -> None:
    """An answer that has begun is finished, while new connections are refused."""
    entered, release = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        entered.set()
        await release.wait()
        return web.Response(text="whole")

    running = await answering(slow)
    (address,) = running.addresses
    request = asyncio.create_task(session.get(f"http://{address}/"))
    await entered.wait()
    closing = asyncio.create_task(running.close(20))
    await asyncio.sleep(0.05)
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection(*address.split(":"))
    assert not closing.done()
    release.set()
    async with await request as answer:
        assert await answer.text() == "whole"
    await closing


@pytest.mark.parametrize("drain_seconds", [0, 0.2])
async def test_closing_cuts_off_what_does_not_finish(session: ClientSession, drain_seconds: float) -> None:
    """An answer that hangs holds the end up for no longer than the drain."""
    entered = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        entered.set()
        await asyncio.sleep(60)
        return web.Response()

    running = await answering(hang)
    request = asyncio.create_task(session.get(f"http://{running.addresses[0]}/"))
    await entered.wait()
    async with asyncio.timeout(drain_seconds + 20):
        await running.close(drain_seconds)
    with pytest.raises(ClientConnectionError):
        await request


async def test_idle_connections_do_not_hold_the_end_up(session: ClientSession) -> None:
    """A kept-alive connection without a request is closed at once."""
    running = await start(application(FakeView(), SetClock()), [socket.create_server(("127.0.0.1", 0))])
    async with session.get(f"http://{running.addresses[0]}/-/healthy") as answer:
        await answer.read()
    async with asyncio.timeout(20):
        await running.close(60)


async def test_a_client_that_reads_too_slowly_is_cut_off() -> None:
    """Anyone who asks for metrics and does not read them loses the connection, counted as gone away."""
    view = FakeView(chunks=[b"x" * 30_000_000])
    async with serving("127.0.0.1:0", view=view, limits=Limits(longest_scrape_seconds=0.2)) as running:
        host, port = running.addresses[0].split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: view.finished)
        assert view.finished == [("/metrics", 499)]
        assert len(await reader.read(-1)) < len(view.chunks[0])
        writer.close()
