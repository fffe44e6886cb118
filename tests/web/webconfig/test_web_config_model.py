"""Names from Go, and `docs/web-config.md`, which tells the truth."""

import re
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.section import keys_of
from exporter.core.regular_file import SeenFiles
from exporter.web.webconfig.tls import CIPHER_SUITES, CLIENT_AUTHENTICATION, NOT_POSSIBLE, TlsServerConfig
from exporter.web.webconfig.web_config import (
    HEADERS,
    HttpServerConfig,
    RateLimit,
    WebConfigFile,
    parse_go_duration,
    read_web_config,
)
from tests.support.processes import ROOT


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("+0", 0),
        ("1s", 1),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("1.s", 1),
        ("1h30m", 5400),
        ("-1.5h", -5400),
        ("3m2s1ms", 182.001),
        ("100us", 0.0001),
        ("100\N{MICRO SIGN}s", 0.0001),
        ("100\N{GREEK SMALL LETTER MU}s", 0.0001),
        ("1s1h", 3601),
    ],
)
def test_durations_are_read_as_go_reads_them(text: str, seconds: float) -> None:
    """Fractions, several parts in any order, and signs are understood."""
    assert parse_go_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "-", "1", "s", ".s", "1d", "1 s", "1s ", "--1s", "1e3s", "1S", "9999999999h", "٣s"]
)
def test_what_go_refuses_is_refused(text: str) -> None:
    """A number needs its unit, and there are no days."""
    with pytest.raises(ValueError, match="no duration"):
        parse_go_duration(text)


@given(st.text(alphabet="0123456789.+-hmsuµnd ", max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else than a refusal comes of a text that is no duration."""
    with suppress(ValueError):
        assert isinstance(parse_go_duration(text), float)


@pytest.mark.parametrize("name", [name for name in CIPHER_SUITES.values() if name])
def test_openssl_knows_each_cipher_suite(name: str) -> None:
    """Each name is one suite of OpenSSL, none is silently left out."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(name)
    assert name in {cipher["name"] for cipher in context.get_ciphers()}


DOCUMENT = (ROOT / "docs" / "web-config.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_works(example: str, directory: Path) -> None:
    """The examples load as they are there, with the certificates that they name."""
    (directory / "web.yml").write_text(example)
    assert read_web_config(directory / "web.yml", SeenFiles()).tls is not None


def test_every_key_is_named() -> None:
    """No key, header or way of asking for certificates is left out."""
    keys = [key for part in (WebConfigFile, TlsServerConfig, HttpServerConfig, RateLimit) for key in keys_of(part)]
    names = [*keys, *HEADERS, *filter(None, CLIENT_AUTHENTICATION), *NOT_POSSIBLE]
    assert [name for name in names if f"`{name}`" not in DOCUMENT] == []
    assert len(EXAMPLES) == 2
