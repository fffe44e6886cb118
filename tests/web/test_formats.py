"""Which format and encoding a scrape is answered with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST

from exporter.metrics.exposition import Format
from exporter.web.responses import negotiate, wants_gzip

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


def test_content_types_are_the_official_clients() -> None:
    """Prometheus 3 refuses a Content-Type that it does not know."""
    assert Format.TEXT.value == CONTENT_TYPE_PLAIN_0_0_4
    assert Format.OPENMETRICS.value == CONTENT_TYPE_LATEST


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (PROMETHEUS_2, Format.OPENMETRICS),
        (PROMETHEUS_3, Format.OPENMETRICS),
        (
            "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            Format.OPENMETRICS_0_0_1,
        ),
        (None, Format.TEXT),
        ("", Format.TEXT),
        ("*/*", Format.TEXT),
        ("text/*", Format.TEXT),
        ("text/plain", Format.TEXT),
        ("text/plain;version=1.0.0", Format.TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", Format.TEXT),
        ("image/png", Format.TEXT),
        ("application/openmetrics-text", Format.OPENMETRICS),
        ("Application/OpenMetrics-Text; Version=1.0.0", Format.OPENMETRICS),
        ('application/openmetrics-text; version="1.0.0"', Format.OPENMETRICS),
        ("application/openmetrics-text;version=2.0.0,text/plain;q=0.1", Format.TEXT),
        ("application/openmetrics-text;version=2.0.0", Format.TEXT),
        ("application/*", Format.OPENMETRICS),
        ("application/openmetrics-text,text/plain;version=0.0.4", Format.OPENMETRICS),
        ("application/openmetrics-text,*/*", Format.OPENMETRICS),
        ("application/openmetrics-text;q=0.4,text/plain;q=0.5", Format.TEXT),
        ("application/openmetrics-text;q=0.1,*/*", Format.TEXT),
        ("text/plain;q=0.1,*/*", Format.OPENMETRICS),
        ("text/plain;q=0,*/*", Format.OPENMETRICS),
        ("text/plain;version=0.0.4;q=0.2,text/plain,application/openmetrics-text;q=0.5", Format.OPENMETRICS),
        ("application/openmetrics-text;q=0", Format.TEXT),
        ("application/openmetrics-text;q=high,text/plain;q=0.1", Format.TEXT),
        ("application/openmetrics-text;q=nan,text/plain;q=0.1", Format.TEXT),
        (",;,=;q", Format.TEXT),
    ],
)
def test_negotiate(accept: str | None, expected: Format) -> None:
    """The best liked format is chosen, text where nothing else is said; the order of entries makes no difference."""
    assert negotiate(accept) is expected
    assert negotiate(",".join(reversed((accept or "").split(",")))) is expected


@given(st.text('aegilnopxtz*/-;,=q.01 \t"\x00\ud83d\u00e9'))
def test_no_header_is_too_odd(header: str) -> None:
    """Whatever comes, there is an answer."""
    assert negotiate(header) in Format
    assert wants_gzip(header) in {True, False}


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("gzip, deflate, br, zstd", True),
        ("*", True),
        ("gzip;q=0.5, identity;q=0.5", True),
        (None, False),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("gzip;q=0.2, identity", False),
    ],
)
def test_wants_gzip(accept_encoding: str | None, expected: bool) -> None:
    """Gzip is sent to anyone who likes it at least as much as none."""
    assert wants_gzip(accept_encoding) is expected
