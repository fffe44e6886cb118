"""Go's durations and names."""

import ssl
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.toolkit.go_names import CIPHER_SUITES, CURVES, parse_go_duration


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


@pytest.mark.parametrize("name", CURVES.values())
def test_openssl_knows_each_curve(name: str) -> None:
    """Each curve can be set."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ecdh_curve(name)
