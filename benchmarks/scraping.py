"""A scraper that only reads: keep-alive, gzip asked for, nothing decompressed."""

import socket
import time
from typing import IO, Self
from urllib.parse import urlsplit

from msgspec import Struct

from benchmarks.report import percentile

TIMEOUT_SECONDS = 60.0


class Scrapes(Struct, frozen=True):
    """How long answers took, from the request's first byte to the answer's last."""

    seconds: tuple[float, ...]
    body_bytes: int  # of one answer, as it was sent
    encoding: str  # the answer's Content-Encoding; empty where it was sent as it is

    @property
    def median(self) -> float:
        """The median, in seconds."""
        return percentile(self.seconds, 0.5)

    @property
    def p99(self) -> float:
        """What all but one in a hundred keep, in seconds."""
        return percentile(self.seconds, 0.99)


class Scraper:
    """Scrapes an address on one connection."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._request = (
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n"
            "Accept-Encoding: gzip\r\n\r\n"
        ).encode()
        self._connection = socket.create_connection((parts.hostname, parts.port or 80), timeout=TIMEOUT_SECONDS)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._connection.makefile("rb")
        self.body_bytes, self.encoding = 0, ""  # of the last answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._answers.close()
        self._connection.close()

    def scrape(self) -> float:
        """Return how long an answer takes, in seconds."""
        began = time.perf_counter()
        self._connection.sendall(self._request)
        self.body_bytes, self.encoding = _read_answer(self._answers)
        return time.perf_counter() - began


def scrape(address: str, *, times: int, pause_seconds: float = 0.0) -> Scrapes:
    """Scrape an address some times on one connection, after twice that do not count."""
    with Scraper(address) as scraper:
        seconds = []
        for _ in range(times + 2):
            seconds.append(scraper.scrape())
            time.sleep(pause_seconds)
        return Scrapes(tuple(seconds[2:]), scraper.body_bytes, scraper.encoding)


def _read_answer(answers: IO[bytes]) -> tuple[int, str]:
    """Read one answer to its end; returns the bytes of its body and its encoding."""
    status = answers.readline()
    if b" 200 " not in status:
        raise ValueError(f"expected 200, got {status!r}")
    headers = {}
    while (line := answers.readline().strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    encoding = headers.get("content-encoding", "")
    if headers.get("transfer-encoding") != "chunked":
        return len(answers.read(int(headers["content-length"]))), encoding
    length = 0
    while size := int(answers.readline(), 16):
        length += len(answers.read(size))
        answers.readline()
    answers.readline()
    return length, encoding
