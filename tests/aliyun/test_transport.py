"""How the service is reached: trust, proxies, and why it could not be."""

import asyncio
import gzip
import socket
import ssl
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp import web

from exporter.aliyun.errors import ApiError
from exporter.aliyun.transport import (
    READ_BUFFER_BYTES,
    Decompressor,
    Endpoint,
    Proxy,
    Transport,
    is_exempt,
    open_session,
    parse_endpoint,
    proxy_for,
    transport_failure,
)
from exporter.core.clock import SystemClock
from exporter.core.collection_state import State
from tests.support.fake_service import EMPTY_PAGE, answer_text, serving
from tests.support.virtual_time import hanging_call


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the machine's own proxies out of the tests."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def authority() -> trustme.CA:
    """A certificate authority that nobody knows."""
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """TLS for a server at 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


async def status_of(transport: Transport, headers: Mapping[str, str] | None = None) -> int:
    """Send one request over a transport, and return the status."""
    async with transport.post("A=%7E", headers or {}) as answer:
        return answer.status


def transport_of(
    session: aiohttp.ClientSession, endpoint: Endpoint | str, proxy: str | None = None, ca_file: Path | None = None
) -> Transport:
    """Return a transport to an endpoint."""
    to = parse_endpoint(endpoint) if isinstance(endpoint, str) else endpoint
    return Transport(session, to, clock=SystemClock(), timeout_seconds=5.0, proxy=proxy, ca_file=ca_file)


async def post(address: str, *, ca_file: Path | None = None, proxy: str | None = None) -> int:
    """Send one request, and return the status."""
    async with open_session(ca_file=ca_file) as session:
        return await status_of(transport_of(session, address, proxy))


async def failure_of(address: str, *, proxy: str | None = None) -> str:
    """Return the sentence about a request without an answer."""
    with pytest.raises(ApiError) as caught:
        await post(address, proxy=proxy)
    assert caught.value.state is State.NETWORK_ERROR
    assert caught.value.retryable
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("address", "endpoint", "authority_part"),
    [
        ("https://live.aliyuncs.com", Endpoint("https", "live.aliyuncs.com", 443), "live.aliyuncs.com"),
        ("https://live.aliyuncs.com:443/", Endpoint("https", "live.aliyuncs.com", 443), "live.aliyuncs.com"),
        ("http://127.0.0.1:8080", Endpoint("http", "127.0.0.1", 8080), "127.0.0.1:8080"),
        ("http://[::1]:8080", Endpoint("http", "::1", 8080), "[::1]:8080"),
        ("https://example.com:80", Endpoint("https", "example.com", 80), "example.com:80"),
    ],
)
def test_endpoints_are_read(address: str, endpoint: Endpoint, authority_part: str) -> None:
    """The host that is signed has a port where it is not the scheme's own."""
    assert parse_endpoint(address) == endpoint
    assert endpoint.authority == authority_part


@pytest.mark.parametrize("address", ["live.aliyuncs.com", "ftp://x", "https://", "https://x/path", "https://x?q"])
def test_what_is_no_endpoint_is_refused(address: str) -> None:
    """An address that is not scheme and host alone is an error that shows an example."""
    with pytest.raises(ValueError, match=r"https://live\.aliyuncs\.com"):
        parse_endpoint(address)


async def test_an_authority_of_ones_own_is_trusted_beside_the_systems(
    authority: trustme.CA, server_tls: ssl.SSLContext, tmp_path: Path
) -> None:
    """With ca_file its servers are trusted; without, the sentence names the setting."""
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    async with serving(EMPTY_PAGE, tls=server_tls) as service:
        assert await post(service.address, ca_file=ca_file) == 200
        assert "set ca_file" in await failure_of(service.address)
    async with open_session(ca_file=ca_file) as session:
        assert session.connector is not None
        context = session.connector._ssl  # type: ignore[attr-defined]
        assert context.cert_store_stats()["x509_ca"] > 1 or not ssl.create_default_context().get_ca_certs()


async def test_a_session_without_an_authority_of_its_own_makes_no_tls_context(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them share aiohttp's, which takes 0.9 MiB; one with a ca_file has its own."""
    made: list[object] = []
    honest = ssl.create_default_context

    def watched() -> ssl.SSLContext:
        made.append(None)
        return honest()

    monkeypatch.setattr(ssl, "create_default_context", watched)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    async with open_session(), open_session():
        assert not made
    async with open_session(ca_file=ca_file):
        assert len(made) == 1


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_an_unusable_ca_file_is_named(tmp_path: Path, content: str | None) -> None:
    """A ca_file that is missing or no PEM is an error with its path."""
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_text(content)
    with pytest.raises(ValueError, match=r"ca_file .*ca\.pem: expected certificates as PEM"):
        open_session(ca_file=ca_file)


async def test_a_changed_ca_file_takes_effect_without_a_restart(
    authority: trustme.CA, server_tls: ssl.SSLContext, tmp_path: Path
) -> None:
    """The authorities of the file count as they are at each request; an unusable state of it changes nothing."""
    ca_file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca_file)
    async with serving(EMPTY_PAGE, tls=server_tls) as service, open_session(ca_file=ca_file) as session:
        transport = transport_of(session, service.address, ca_file=ca_file)
        with pytest.raises(ApiError, match="is not trusted"):
            await status_of(transport)
        authority.cert_pem.write_to_path(ca_file)
        assert await status_of(transport) == 200
        for unusable in ("half a certifi", None):
            ca_file.unlink() if unusable is None else ca_file.write_text(unusable)
            assert await status_of(transport) == 200
        trustme.CA().cert_pem.write_to_path(ca_file)
        with pytest.raises(ApiError, match="is not trusted"):
            await status_of(transport)


UNUSABLE = r"is not a usable address of a proxy"


@pytest.mark.parametrize(
    ("host", "variables", "sentence"),
    [
        ("live..example.com", {}, "live..example.com"),
        (f"{'x' * 70}.example.com", {}, "x.example.com"),
        ("bad host", {}, "check endpoint"),
        ("service.invalid", {"http_proxy": "http://user:hun#ter2@proxy:3128"}, f"http_proxy {UNUSABLE}"),
        ("service.invalid", {"HTTP_PROXY": "http://user:hun/ter2@proxy:3128"}, f"HTTP_PROXY {UNUSABLE}"),
        ("service.invalid", {"HTTP_PROXY": "user:hunter2@proxy:a"}, f"HTTP_PROXY {UNUSABLE}"),
        ("service.invalid", {"HTTP_PROXY": "socks5://hunter2@proxy:1080"}, "HTTP_PROXY .*socks5:// is not supported"),
        ("service.invalid", {"HTTP_PROXY": "http://proxy..example.com:1"}, f"HTTP_PROXY {UNUSABLE}"),
        ("service.invalid", {"HTTP_PROXY": "http://u:hunter2@proxy.invalid:1"}, "proxy.invalid:1 .*check HTTP_PROXY"),
    ],
)
async def test_whatever_is_raised_below_becomes_a_reason(
    monkeypatch: pytest.MonkeyPatch, host: str, variables: dict[str, str], sentence: str
) -> None:
    """Unusable hosts and proxies are network errors that name the setting, never its value."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    async with open_session() as session:
        with pytest.raises(ApiError, match=sentence) as caught:
            await status_of(transport_of(session, Endpoint("http", host, 80)))
    assert caught.value.state is State.NETWORK_ERROR
    assert "hun" not in str(caught.value)


async def test_a_header_that_cannot_be_sent_is_a_reason() -> None:
    """What the HTTP library refuses to send is that request's failure, without the value."""
    async with serving(EMPTY_PAGE) as service, open_session() as session:
        with pytest.raises(ApiError, match="check endpoint and the credentials") as caught:
            await status_of(transport_of(session, service.address), {"x-acs-security-token": "hun\nter2"})
    assert "hun" not in str(caught.value)


async def test_reasons_can_be_reported_apart(closed_port: int, server_tls: ssl.SSLContext) -> None:
    """Each kind of unreachable service has its own sentence, with what to check."""
    assert f"127.0.0.1:{closed_port} refuses connections" in await failure_of(f"http://127.0.0.1:{closed_port}")
    assert "cannot be resolved" in await failure_of("http://nowhere.invalid")
    async with serving(EMPTY_PAGE) as service:
        assert "no TLS with" in await failure_of(service.address.replace("http:", "https:"))
    async with serving(EMPTY_PAGE, tls=server_tls) as service:
        assert "127.0.0.1" in await failure_of(service.address.replace("https:", "http:"))


async def test_the_configured_proxy_is_used(closed_port: int) -> None:
    """Requests go through the proxy; where that fails the sentence names it, without its password."""
    async with serving(EMPTY_PAGE) as proxy:
        assert await post("http://example.invalid", proxy=proxy.address) == 200
        assert proxy.requests[0].headers["Host"] == "example.invalid"
    sentence = await failure_of("http://example.invalid", proxy=f"http://user:password@127.0.0.1:{closed_port}")
    assert f"the proxy 127.0.0.1:{closed_port} cannot be reached" in sentence
    assert "password" not in sentence


@pytest.mark.parametrize(("status", "expected"), [(407, "demands a login"), (502, "with status 502")])
async def test_a_proxy_that_refuses_is_named(status: int, expected: str) -> None:
    """A proxy that refuses to connect to an https endpoint is distinguished from the service."""
    async with serving(answer_text("no", status=status)) as proxy:
        assert expected in await failure_of("https://example.invalid", proxy=proxy.address)


async def test_the_environments_proxy_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a configured proxy the environment's is used, except for hosts of NO_PROXY."""
    async with serving(EMPTY_PAGE) as proxy, serving(EMPTY_PAGE) as service:
        monkeypatch.setenv("http_proxy", proxy.address.removeprefix("http://"))
        assert await post("http://example.invalid") == 200
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert await post(service.address) == 200
    assert (len(proxy.requests), len(service.requests)) == (1, 1)


PLAIN = bytes(range(256)) * 3000 + b"text" * 200_000  # decompressed in several pieces, each of which ends inside it


BODIES = {
    "gzip": ("gzip", gzip.compress(PLAIN)),
    "several members": (" GZIP", gzip.compress(PLAIN[:99]) + gzip.compress(PLAIN[99:])),
    "another name": ("x-gzip", gzip.compress(PLAIN)),
    "no sum": ("gzip", gzip.compress(PLAIN)[:-8]),
    "deflate": ("deflate", zlib.compress(PLAIN)),
    "bare deflate": ("deflate", zlib.compress(PLAIN)[2:-4]),
    "plain": ("", PLAIN),
    "plain under another name": ("br", PLAIN),
}


@pytest.mark.parametrize("step", [1000, 65_536, 10**6])
@pytest.mark.parametrize("name", BODIES)
def test_a_compressed_body_is_read(name: str, step: int) -> None:
    """Gzip of several members or without its sum and both forms of deflate, in whatever pieces; others are plain."""
    content_encoding, body = BODIES[name]
    compressed = Decompressor(content_encoding)
    sent = [body[place : place + step] for place in range(0, len(body), step)]
    pieces = [plain for piece in sent for plain in compressed.pieces(piece)]
    assert b"".join(pieces) == PLAIN
    assert all(len(piece) <= max(step, READ_BUFFER_BYTES) for piece in pieces)


async def test_cookies_are_not_kept() -> None:
    """What an answer sets is not sent again."""

    def with_cookie(_request: web.BaseRequest) -> web.StreamResponse:
        response = web.Response()
        response.set_cookie("session", "1")
        return response

    async with serving(with_cookie) as service, open_session() as session:
        for _ in range(2):
            await status_of(transport_of(session, service.address))
    assert "Cookie" not in service.requests[1].headers


async def test_a_name_server_without_an_answer_delays_no_other_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten sessions wait for names that never come; another one finds its host at once."""
    look_up = socket.getaddrinfo
    async with serving(EMPTY_PAGE) as service:
        with hanging_call() as hang:
            monkeypatch.setattr(
                socket, "getaddrinfo", lambda host, *rest: (hang if host == "gone.test" else look_up)(host, *rest)
            )
            sessions = [open_session() for _ in range(11)]
            stuck = [asyncio.ensure_future(session.get("http://gone.test:1/")) for session in sessions[:-1]]
            await asyncio.sleep(0.05)
            url = service.address.replace("127.0.0.1", "localhost")
            async with asyncio.timeout(30), sessions[-1].post(url) as response:
                assert response.status == 200
            for one in stuck:
                one.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)
            for session in sessions:
                await session.close()


@pytest.mark.parametrize(
    ("host", "no_proxy", "exempt"),
    [
        ("live.aliyuncs.com", "", False),
        ("live.aliyuncs.com", "*", True),
        ("live.aliyuncs.com", "localhost, Aliyuncs.COM", True),
        ("live.aliyuncs.com", ".aliyuncs.com", True),
        ("live.aliyuncs.com", "live.aliyuncs.com:443", True),
        ("live.aliyuncs.com", "live.aliyuncs.com:8443", False),
        ("live.aliyuncs.com", "*.aliyuncs.com", True),
        ("aliyuncs.com", "*.aliyuncs.com", False),
        ("notaliyuncs.com", "aliyuncs.com", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.0.0.0/8:80 192.168.0.0/16", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("fd00::1", "fd00::/8", True),
        ("::1", "[::1]:443", True),
        ("::1", "[::1]:80", False),
        ("::1", "0:0:0:0:0:0:0:1", True),
        ("live.aliyuncs.com", "., :, 10.0.0.0/99, a:b:c", False),
    ],
)
def test_no_proxy(host: str, no_proxy: str, exempt: bool) -> None:
    """NO_PROXY knows names, what is below them, addresses, networks and ports."""
    assert is_exempt(host, 443, no_proxy) is exempt


@pytest.mark.parametrize(
    ("configured", "environment", "expected"),
    [
        (None, {}, None),
        ("http://p:1", {"HTTPS_PROXY": "http://q:2", "NO_PROXY": "*"}, Proxy("http://p:1", "proxy")),
        (None, {"HTTPS_PROXY": "q:2", "HTTP_PROXY": "http://r:3"}, Proxy("http://q:2", "HTTPS_PROXY")),
        (None, {"HTTPS_PROXY": "http://q:2", "https_proxy": "http://s:4 "}, Proxy("http://s:4", "https_proxy")),
        (None, {"HTTPS_PROXY": "http://q:2", "https_proxy": ""}, None),
        (None, {"HTTPS_PROXY": "http://q:2", "no_proxy": "aliyuncs.com", "NO_PROXY": ""}, None),
    ],
)
def test_the_proxy_of_a_request(configured: str | None, environment: dict[str, str], expected: Proxy | None) -> None:
    """The configured proxy counts before the environment's, whose lower case counts before its upper case."""
    assert proxy_for("https", "live.aliyuncs.com", 443, configured=configured, environment=environment) == expected


def test_a_request_that_hangs_in_a_proxy_names_it() -> None:
    """A timeout says through which proxy the request went, without user and password."""
    proxy = Proxy("http://user:hunter2@proxy:3128", "proxy")
    error = transport_failure(TimeoutError(), host="live.aliyuncs.com", port=443, proxy=proxy)
    assert "live.aliyuncs.com:443 did not answer in time through the proxy proxy:3128" in str(error)
    assert "hunter2" not in str(error)
