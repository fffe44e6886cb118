"""Requests to servers on this machine, without proxy and always bounded in time, and a server in a thread."""

import json
import ssl
import urllib.request
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple
from urllib.error import HTTPError


def _opener(tls: ssl.SSLContext | None = None) -> urllib.request.OpenerDirector:
    """Return what opens URLs."""
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), *([] if tls is None else [urllib.request.HTTPSHandler(context=tls)])
    )


_OPENER = _opener()


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


def ask(
    url: str,
    *,
    method: str = "GET",
    body: object = None,
    headers: Mapping[str, str] | None = None,
    seconds: float = 30,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """Send a request; a `body` is sent as JSON. An error status is an answer like any other.

    Raises:
        OSError: Nobody answers, or not by the rules of `tls`.
    """
    opener = _OPENER if tls is None else _opener(tls)
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, dict(headers or {}), method=method)  # noqa: S310 - http on loopback
    try:
        with opener.open(request, timeout=seconds) as response:
            return Answer(response.status, response.headers, response.read())
    except HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


def basic_auth(name: str, password: str) -> dict[str, str]:
    """Return the header by which a client says who it is."""
    return {"Authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}


def ask_json(url: str, *, method: str = "GET", body: object = None) -> Any:
    """Return the JSON of a good answer."""
    answer = ask(url, method=method, body=body)
    assert answer.status == 200, f"{method} {url}: {answer.status} {answer.text}"
    return json.loads(answer.body)


class Handler(ABC, BaseHTTPRequestHandler):
    """Answers requests in one way, and says nothing of them."""

    @abstractmethod
    def answer(self) -> None:
        """Answer a request."""

    def do_GET(self) -> None:
        self.answer()

    do_POST = do_PUT = do_CONNECT = do_GET  # noqa: N815 - the base class names them

    def respond(self, body: bytes = b"", status: int = 200) -> None:
        """Send a whole answer."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of connections that are reset: clients are killed."""


@contextmanager
def serving_in_a_thread(handler: type[Handler], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve on a free port of 127.0.0.1; yield its `host:port`."""
    with _Server(("127.0.0.1", 0), handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
