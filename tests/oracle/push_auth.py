"""Who signed a push URL and whether a push may still start: read from the URL as the vendors document it."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

YEARS: Final = range(1_262_304_000, 4_102_444_800)  # 2010 to 2100
OF_KEYS: Final = {"auth_key", "txSecret", "txTime", "volcSecret", "volcTime", "wsSecret", "wsTime", "vhost"} | {
    "expire",
    "token",
    "OSSAccessKeyId",
    "Expires",
    "Signature",
}
WARNING_SECONDS: Final = 86400

_Key = tuple[str, int | str]  # the signer, and the expiry in Unix seconds or a state


def host_of(url: str) -> str:
    """Return the host that a URL pushes to, an address of IPv6 in brackets."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return dict(parse_qsl(parts.query)).get("vhost", f"[{host}]" if ":" in host else host).lower()


def stream_of(url: str) -> str:
    """Return what names the stream: the URL without its key, with one scheme for RTMP and without default ports."""
    parts = urlsplit(url)
    rest = [f"{name}={value}" for name, value in parse_qsl(parts.query) if name not in OF_KEYS]
    port = "" if parts.port in {None, 1935, 443, 10080} else f":{parts.port}"
    scheme = parts.scheme.replace("rtmps", "rtmp")
    return f"{scheme}://{host_of(url)}{port}{parts.path}?{'&'.join(rest)}"


def key_of(url: str, validities: Mapping[str, int]) -> _Key:
    """Return what a URL's key says; `validities` are those that are configured, by host."""
    query = dict(parse_qsl(urlsplit(url).query))
    if "auth_key" in query:
        time = re.fullmatch(r"(\d+)-[^-]+-[^-]*-[0-9a-f]{32}", query["auth_key"])
        validity = validities.get(host_of(url))
        if time and int(time[1]) not in YEARS:
            return "alibaba", "malformed"
        return "alibaba", int(time[1]) + validity if time and validity is not None else "unreadable"
    for signer, secret, key, base in (
        ("tencent", "txSecret", "txTime", 16),
        ("volcengine", "volcSecret", "volcTime", 10),
        ("qiniu", "token", "expire", 10),
        ("oss", "Signature", "Expires", 10),
        ("wangsu", "wsSecret", "wsTime", 16),
    ):
        if secret in query:
            seconds = int(query[key], base)
            return signer, seconds if seconds in YEARS else "malformed"
    return "none", "unsigned"


def state_of(key: _Key, now: float, warning_seconds: float = WARNING_SECONDS) -> str:
    """Return the state of a key at a time."""
    expiry = key[1]
    if isinstance(expiry, str):
        return expiry
    return "expired" if now >= expiry else "expiring" if now >= expiry - warning_seconds else "valid"
