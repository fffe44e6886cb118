"""What clients may ask of the server: how many, how large, how long."""

from typing import Final

from msgspec import Struct


class Limits(Struct, frozen=True):
    """The bounds of everything that comes in; what goes beyond them is cut off or refused, never waited for."""

    most_connections: int = 512
    """At a time, over all addresses. Another one takes the place of the one that has been without a request for
    longest; while all are being answered it gets 503."""
    longest_head_seconds: float = 10.0
    """From the connection, or from the first byte of a further request, to the end of the request's headers."""
    longest_idle_seconds: float = 75.0
    """Between an answer's making and the next request's first byte; within it the answer has to be read, too."""
    longest_answer_seconds: float = 90.0
    """What making an answer may take; it is more than what reading metrics may take."""
    longest_scrape_seconds: float = 60.0
    """What reading metrics may take."""
    most_scrapes: int = 100
    """At a time. Another one takes the place of the oldest if that is slow; otherwise it gets 503."""
    slow_scrape_seconds: float = 2.0
    """From when on a scrape counts as slow, which matters only while there are `most_scrapes`."""
    longest_line_bytes: int = 8190
    """Of a URL, and of one header."""
    most_headers: int = 64
    longest_request_bytes: int = 64 * 1024
    """Of all headers together, and of a body."""
    longest_handshake_seconds: float = 10.0
    """What beginning TLS may take."""
    longest_farewell_seconds: float = 2.0
    """What ending TLS may take, and what is left of a request's body that nobody reads."""


DEFAULT_LIMITS: Final = Limits()
