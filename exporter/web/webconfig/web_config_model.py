"""Every key of the web configuration, the names it takes from Go, and the headers it may set."""

import re
import ssl
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final

from exporter.config.section import Section
from exporter.config.value_types import AnySwitch, Choices, SkipEmpty, Whole

CIPHER_SUITES: Final = {
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
}
"""OpenSSL's names; empty for TLS 1.3, whose suites are always on, in Go as here."""

CURVES: Final = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}

VERSIONS: Final = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}

_NANOSECONDS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART: Final = re.compile(r"([0-9]{1,19}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(ns|us|µs|μs|ms|s|m|h)")
_MOST_NANOSECONDS: Final = 2**63 - 1


def parse_go_duration(text: str) -> float:
    """Return the seconds of a duration such as `1s`, `1.5h`, `1h30m`, `-100ms` or `0`; raises ValueError."""
    unsigned = text[1:] if text[:1] in {"+", "-"} else text
    if unsigned == "0":
        return 0.0
    total, end = Decimal(), 0
    while part := _PART.match(unsigned, end):
        total += Decimal(part[1]) * _NANOSECONDS[part[2]]
        end = part.end()
    if end != len(unsigned) or not unsigned or total > _MOST_NANOSECONDS:
        raise ValueError("no duration")
    return float(total) / 1e9 * (-1 if text[0] == "-" else 1)


HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
    "Content-Security-Policy": (),
}
"""Allowed values; empty: any."""

_NOT_SENDABLE: Final = re.compile("[\x00-\x08\n-\x1f\x7f]")


def sendable(value: str) -> str:
    """Return a header's value in one line, as Go does."""
    return _NOT_SENDABLE.sub(" ", value).strip()


Version = Annotated[str, Choices(tuple(VERSIONS))]
CipherSuite = Annotated[str, Choices(tuple(CIPHER_SUITES))]
Curve = Annotated[str, Choices(tuple(CURVES))]


class TlsServerConfig(Section):
    """`tls_server_config`. A file takes precedence over a text; an empty text counts as absent."""

    cert: str = ""
    cert_file: str = ""
    key: str = ""
    key_file: str = ""
    client_ca: str = ""
    client_ca_file: str = ""
    client_auth_type: str = ""
    client_allowed_sans: tuple[str, ...] | None = None
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    cipher_suites: tuple[CipherSuite, ...] = ()
    prefer_server_cipher_suites: AnySwitch = True
    curve_preferences: tuple[Curve, ...] = ()

    def __repr__(self) -> str:
        """Hide the private key."""
        return "TlsServerConfig(…)"

    @property
    def enabled(self) -> bool:
        """Whether TLS is asked for, complete or not."""
        certificates = self.cert or self.cert_file or self.key or self.key_file
        return bool(certificates or self.client_ca or self.client_ca_file or self.client_auth_type)


class HttpServerConfig(Section):
    """`http_server_config`."""

    http2: AnySwitch | None = None
    headers: Annotated[Mapping[str, str], SkipEmpty] = {}


class RateLimit(Section):
    """`rate_limit`."""

    interval: str = "0"  # a Go duration, or whole nanoseconds; 0: unlimited
    burst: Whole = 0


class WebConfigFile(Section):
    """The whole file."""

    tls_server_config: TlsServerConfig = TlsServerConfig()
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: Annotated[Mapping[str, str], SkipEmpty] = {}  # hashes by name
    rate_limit: RateLimit = RateLimit()

    def __repr__(self) -> str:
        """Hide the hashes."""
        return "WebConfigFile(…)"
