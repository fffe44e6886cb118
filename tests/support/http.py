"""Requests to servers on this machine: no proxy, no redirect to elsewhere, always bounded in time."""

import json
import urllib.request
from collections.abc import Mapping
from email.message import Message
from typing import Any, NamedTuple
from urllib.error import HTTPError

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


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
    url: str, *, method: str = "GET", body: object = None, headers: Mapping[str, str] | None = None, seconds: float = 10
) -> Answer:
    """Send a request; a `body` is sent as JSON. An error status is an answer like any other.

    Raises:
        OSError: Nobody answers.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, dict(headers or {}), method=method)  # noqa: S310 - http on loopback
    try:
        with _OPENER.open(request, timeout=seconds) as response:
            return Answer(response.status, response.headers, response.read())
    except HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


def ask_json(url: str, *, method: str = "GET", body: object = None) -> Any:
    """Return the JSON of a good answer."""
    answer = ask(url, method=method, body=body)
    assert answer.status == 200, f"{method} {url}: {answer.status} {answer.text}"
    return json.loads(answer.body)
