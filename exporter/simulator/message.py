"""A request and a response as values: what the pure core is given and gives, without any HTTP library."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct


class Request(Struct, frozen=True):
    """One HTTP request as it arrived."""

    query: str
    """The raw query, without the question mark."""
    headers: Mapping[str, str]
    """By lower-case name."""
    method: str = "POST"
    path: str = "/"
    body: bytes = b""


class Response(Struct, frozen=True):
    """One answer, and how it is to be brought to the client."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    delay_seconds: float = 0.0
    """How long it takes before the client gets it, from the moment it was made."""
    delivery: Literal["answer", "reset", "hang"] = "answer"
    """`reset`: the connection is cut instead; `hang`: no answer ever comes."""


class Account(Struct, frozen=True):
    """Who may ask for which apps, and how often."""

    access_key_id: str
    access_key_secret: str
    apps: tuple[str, ...]
    security_token: str | None = None
    """A temporary key's token, which each request then has to carry."""
    security_token_expires_at: float | None = None
    """Seconds since 1970."""
    requests_per_second: int = 50
    window: Literal["sliding", "fixed", "bucket"] = "sliding"
    others_per_second: float = 0.0
    """Requests of other users of the same account, which take their share of the limit."""
    quota_group: str = ""
    """Keys of one group (RAM users of one cloud account) share one limit; empty: a limit of its own."""
