"""What is before every answer, over real HTTP."""

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import bcrypt
import pytest
import trustme
from aiohttp import ClientConnectionError, ClientSession
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from exporter.config.mistakes import ConfigError
from exporter.web.application import application
from exporter.web.http_server import DEFAULT_LIMITS, Limits, Running, start
from exporter.web.responses import SAFE_HEADERS
from exporter.web.webconfig.gate import Gate, gate_of
from exporter.web.webconfig.web_config import FollowedWebConfig
from tests.support.certificates import HASH, PASSWORD, client_context
from tests.support.http import basic_auth
from tests.support.monitored import until
from tests.support.virtual_time import SetClock
from tests.web.fake_view import Client, FakeView

USERS = f"basic_auth_users: {{alice: {HASH}}}\n"
RIGHT = basic_auth("alice", PASSWORD)
WRONG = basic_auth("alice", "wrong")
ODD = ("", "Basic", "Basic !", "Bearer YWxpY2U6d29uZGVy", "Digest username=alice", "Basic YWxpY2U=")


class Guarded:
    """A server behind a gate, its file and what it counted."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.clock = SetClock()
        self.view = FakeView(chunks=[b"metric 1\n"])
        self._clients: list[Client] = []
        self._gate: Gate | None = None

    async def client(self, text: str, *, health_without_auth: bool = False) -> Client:
        self.file.write_text(text)
        app = application(self.view, self.clock)
        followed = FollowedWebConfig(self.file)
        self._gate = Gate(followed, self.clock, secret=b"secret", health_without_auth=health_without_auth)
        self._gate.guard(app)
        client = TestClient(TestServer(app, access_log=None))
        await client.start_server()
        self._clients.append(client)
        return client

    async def write(self, text: str) -> None:
        """Change the file, and look at it until that counts."""
        self.file.write_text(text)
        await self.look()
        await self.look()

    async def look(self) -> None:
        """Look at the file, as the daemon does every second."""
        assert self._gate is not None
        await self._gate.followed.look()

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    """A server that is yet to be started."""
    guarded = Guarded(tmp_path / "web.yml")
    yield guarded
    await guarded.close()


async def status(client: Client, path: str, auth: Mapping[str, str] | None = None) -> int:
    """Return the status of an answer."""
    async with client.get(path, headers=auth) as answer:
        return answer.status


async def test_every_path_wants_the_password(guarded: Guarded) -> None:
    """Health checks, other methods and paths that do not exist too: nobody learns what there is."""
    client = await guarded.client(USERS)
    given = (None, WRONG, basic_auth("nobody", PASSWORD), *({"Authorization": odd} for odd in ODD))
    for path in ("/metrics", "/-/healthy", "/-/ready", "/config", "/nothing", "/static/"):
        for auth in given:
            async with client.get(path, headers=auth) as answer:
                assert answer.status == 401, (path, auth)
                assert answer.headers["WWW-Authenticate"] == "Basic"
                assert "Unauthorized" in await answer.text()
            async with client.post(path, headers=auth) as answer:
                assert answer.status == 401, (path, auth)
        assert await status(client, path, RIGHT) in {200, 404}
    async with client.get("/api/v1/apps") as answer:
        assert await answer.json() == {"error": "Unauthorized"}


async def test_health_checks_can_be_left_open(guarded: Guarded) -> None:
    """Only these two, by the route that answers and not by how the path is written."""
    client = await guarded.client(USERS, health_without_auth=True)
    assert await status(client, "/-/healthy") == 200
    assert await status(client, "/-/ready") == 200
    assert await status(client, "/-/healthy", WRONG) == 200
    assert await status(client, "/%2D/healthy") == 200
    for path in ("/", "/metrics", "/-/healthy/", "/-/ready/x", "/-/reload", "/x/../-/healthyx"):
        assert await status(client, path) == 401


async def test_too_many_requests_are_a_429_before_any_password(guarded: Guarded) -> None:
    """The limit counts all requests, also those with a wrong password, and comes first; refusals are counted by path.

    A limit that was changed in the file begins again.
    """
    client = await guarded.client(f"{USERS}rate_limit: {{interval: 10s, burst: 2}}\n")
    assert [await status(client, "/metrics", auth) for auth in (None, RIGHT, RIGHT, None)] == [401, 200, 429, 429]
    guarded.clock.seconds += 11
    assert [await status(client, "/nothing", auth) for auth in (None, RIGHT)] == [401, 429]
    counted = [*(("/metrics", code) for code in (401, 200, 429, 429)), ("other", 401), ("other", 429)]
    assert guarded.view.finished == counted
    await guarded.write(f"{USERS}rate_limit: {{interval: 1h, burst: 20}}\n")
    assert [await status(client, "/metrics", RIGHT) for _ in range(2)] == [200, 200]
    await guarded.write("rate_limit: {}\nbasic_auth_users: {}\n")  # everyone is let in
    assert [await status(client, "/metrics") for _ in range(30)] == [200] * 30


HEADERS = {
    "Strict-Transport-Security": "max-age=31536000",
    "X-Frame-Options": "sameorigin",
    "Content-Security-Policy": "default-src 'self'",
}


async def test_configured_headers_go_over_the_own_ones(guarded: Guarded) -> None:
    """Every answer has them, a stream and a refusal too; what is not configured stays as it is."""
    listed = ", ".join(f'{name}: "{value}"' for name, value in HEADERS.items())
    client = await guarded.client(f"{USERS}http_server_config: {{headers: {{{listed}}}}}\n")
    expected = dict(SAFE_HEADERS) | HEADERS
    for path, auth in (("/metrics", RIGHT), ("/nothing", RIGHT), ("/", RIGHT), ("/", None)):
        async with client.get(path, headers=auth) as answer:
            assert {name: answer.headers[name] for name in expected} == expected, path


async def test_users_change_without_a_restart(guarded: Guarded) -> None:
    """Who was taken out of the file is refused; a bad file changes nothing."""
    client = await guarded.client(USERS)
    assert await status(client, "/metrics", RIGHT) == 200
    with capture_logs() as logs:
        await guarded.write("basic_auth_users: {alice: mistake}\n")
        assert await status(client, "/metrics", RIGHT) == 200
        assert await status(client, "/metrics", WRONG) == 401
    assert len(logs) == 1
    await guarded.write(f"basic_auth_users: {{bob: {HASH}}}\n")
    assert await status(client, "/metrics", RIGHT) == 401
    assert await status(client, "/metrics", basic_auth("bob", PASSWORD)) == 200


async def test_a_file_that_is_rewritten_on_and_on_lets_nobody_in(guarded: Guarded) -> None:
    """While `cp` truncates and writes it 300 times, no request without a password is answered."""
    client = await guarded.client(USERS)
    assert await status(client, "/metrics", RIGHT) == 200
    seen: Counter[int] = Counter()
    writing = asyncio.ensure_future(asyncio.to_thread(rewrite, guarded.file, USERS, 300))
    while not writing.done():
        await guarded.look()
        seen[await status(client, "/metrics")] += 1
        assert await status(client, "/metrics", RIGHT) == 200
    assert set(seen) == {401}


def rewrite(file: Path, text: str, times: int) -> None:
    """Write a file in two parts, over and over."""
    for _ in range(times):
        with file.open("w") as copy:
            for part in (text[:20], text[20:]):
                time.sleep(0.0002)
                copy.write(part)
                copy.flush()


class SlowChecks:
    """Replaces bcrypt: no password is right, and no check ends before `go_on`."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.checked: list[bytes] = []
        self.go_on = threading.Event()
        patch.setattr(bcrypt, "checkpw", self._check)

    def _check(self, password: bytes, _hashed: bytes) -> bool:
        self.checked.append(password)
        return not self.go_on.wait(60)


async def test_guessing_holds_up_nobody_who_is_known(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """While wrong passwords wait and are refused, a right one that was seen before is answered at once."""
    client = await guarded.client(USERS)
    assert await status(client, "/metrics", RIGHT) == 200
    slow = SlowChecks(monkeypatch)
    guesses = [asyncio.create_task(status(client, "/metrics", basic_auth("alice", str(guess)))) for guess in range(80)]
    await until(lambda: slow.checked)
    assert await status(client, "/metrics", RIGHT) == 200
    assert not all(guess.done() for guess in guesses)
    slow.go_on.set()
    assert set(await asyncio.gather(*guesses)) == {401, 429}


async def test_who_went_away_leaves_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that send a guess and close don't make those behind them wait for their checks."""
    slow = SlowChecks(monkeypatch)
    (tmp_path / "web.yml").write_text(USERS)
    gate = gate_of(tmp_path / "web.yml", SetClock(), health_without_auth=False)
    running = await start(application(FakeView(), SetClock()), [socket.create_server(("127.0.0.1", 0))], gate=gate)
    host, port = running.addresses[0].split(":")

    async def guess(number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(host, int(port))
        header = basic_auth("alice", str(number))["Authorization"]
        writer.write(f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: {header}\r\n\r\n".encode())
        await asyncio.sleep(0.02)
        return reader, writer

    first = (await guess(0))[1]
    await until(lambda: slow.checked)
    first.close()
    for number in range(1, 10):
        (await guess(number))[1].close()
    reader, writer = await guess(10)
    await asyncio.sleep(0.2)
    slow.go_on.set()
    assert (await reader.readline()).startswith(b"HTTP/1.1 401")
    assert slow.checked == [b"0", b"10"]
    writer.close()
    await running.close(1)


def test_without_a_file_there_is_no_gate(tmp_path: Path) -> None:
    """No file, no gate; a bad one is an error."""
    assert gate_of(None, SetClock(), health_without_auth=True) is None
    with pytest.raises(ConfigError):
        gate_of(tmp_path / "absent.yml", SetClock(), health_without_auth=False)


@pytest.mark.parametrize(("http2", "lines"), [("http2: true", 1), ("http2: false", 0), ("headers: {}", 0)])
def test_http2_is_taken_and_said_not_to_be_spoken(http2: str, lines: int, directory: Path) -> None:
    """Anyone who asks for HTTP/2 reads once that it is HTTP/1.1."""
    (directory / "web.yml").write_text(
        f"tls_server_config: {{cert_file: server.pem, key_file: server.key}}\nhttp_server_config: {{{http2}}}\n"
    )
    with capture_logs() as logs:
        gate_of(directory / "web.yml", SetClock(), health_without_auth=False)
    assert [entry["event"] for entry in logs] == ["http2 is not spoken here, clients get HTTP/1.1"] * lines


@asynccontextmanager
async def serving_tls(directory: Path, limits: Limits = DEFAULT_LIMITS) -> AsyncIterator[Running]:
    """Serve with the certificates of a directory."""
    (directory / "web.yml").write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}\n")
    gate = gate_of(directory / "web.yml", SetClock(), health_without_auth=False)
    app, sockets = application(FakeView(), SetClock()), [socket.create_server(("127.0.0.1", 0))]
    running = await start(app, sockets, gate=gate, limits=limits)
    try:
        yield running
    finally:
        await running.close(1)


async def test_a_server_speaks_tls_and_closes_on_whoever_does_not(directory: Path, authority: trustme.CA) -> None:
    """A listener with certificates answers HTTPS alone, and says so in its URLs."""
    async with serving_tls(directory) as running, ClientSession() as session:
        url = f"{running.scheme}://{running.addresses[0]}/-/healthy"
        async with session.get(url, ssl=client_context(authority)) as answer:
            assert answer.status == 200
        with pytest.raises(ClientConnectionError):
            await session.get(url.replace("https", "http"))


async def test_a_client_that_never_begins_tls_is_cut_off(directory: Path) -> None:
    """Anyone who connects and says nothing does not keep the connection."""
    async with serving_tls(directory, Limits(longest_handshake_seconds=0.1)) as running, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(*running.addresses[0].split(":"))
        assert await reader.read() == b""
        writer.close()
