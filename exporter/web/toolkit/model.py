"""Every key of the file, declared as the toolkit has it; what follows from several keys is checked where it is used."""

from collections.abc import Mapping
from typing import Annotated

from exporter.config.section import Section
from exporter.config.value_types import AnySwitch, Choices, SkipEmpty, Whole
from exporter.web.toolkit.go_names import CIPHER_SUITES, CURVES, VERSIONS

Version = Annotated[str, Choices(tuple(VERSIONS))]
CipherSuite = Annotated[str, Choices(tuple(CIPHER_SUITES))]
Curve = Annotated[str, Choices(tuple(CURVES))]


class TlsServerConfig(Section):
    """`tls_server_config`. Of a text and its file the file wins; an empty text is as good as none."""

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
        """Show nothing: it holds a private key."""
        return "TlsServerConfig(…)"

    @property
    def enabled(self) -> bool:
        """Whether TLS is asked for, be it complete or not."""
        certificates = self.cert or self.cert_file or self.key or self.key_file
        return bool(certificates or self.client_ca or self.client_ca_file or self.client_auth_type)


class HttpServerConfig(Section):
    """`http_server_config`."""

    http2: AnySwitch | None = None
    """None: nothing is said about it."""
    headers: Annotated[Mapping[str, str], SkipEmpty] = {}


class RateLimit(Section):
    """`rate_limit`."""

    interval: str = "0"
    """As Go writes durations, or whole nanoseconds; none or 0: there is no limit."""
    burst: Whole = 0


class WebConfigFile(Section):
    """The whole file."""

    tls_server_config: TlsServerConfig = TlsServerConfig()
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: Annotated[Mapping[str, str], SkipEmpty] = {}
    """Hashes by name."""
    rate_limit: RateLimit = RateLimit()

    def __repr__(self) -> str:
        """Show nothing: it holds hashes of passwords."""
        return "WebConfigFile(…)"
