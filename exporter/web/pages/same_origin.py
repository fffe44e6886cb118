"""Whether a request that does something was sent by one of our own pages."""

from collections.abc import Mapping
from urllib.parse import urlsplit


def is_same_origin(headers: Mapping[str, str], host: str) -> bool:
    """Whether no other site can have sent a request in the name of whoever reads it.

    Browsers say where a request comes from, by `Sec-Fetch-Site` or by `Origin`; pages can't change either. What
    sends neither is no browser, and holds no cookie or password of anybody that it could misuse.

    Args:
        headers: Of the request.
        host: The host and port that it asks.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("Origin")
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()
