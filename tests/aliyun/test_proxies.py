"""Which requests go through which proxy."""

import pytest

from exporter.aliyun.proxies import Proxy, is_exempt, proxy_for
from exporter.aliyun.transport import transport_failure


@pytest.mark.parametrize(
    ("host", "port", "no_proxy", "exempt"),
    [
        ("live.aliyuncs.com", 443, "", False),
        ("live.aliyuncs.com", 443, "*", True),
        ("live.aliyuncs.com", 443, "localhost, Aliyuncs.COM", True),
        ("live.aliyuncs.com", 443, ".aliyuncs.com", True),
        ("live.aliyuncs.com", 443, "live.aliyuncs.com:443", True),
        ("live.aliyuncs.com", 443, "live.aliyuncs.com:8443", False),
        ("live.aliyuncs.com", 443, "*.aliyuncs.com", True),
        ("aliyuncs.com", 443, "*.aliyuncs.com", False),
        ("notaliyuncs.com", 443, "aliyuncs.com", False),
        ("10.1.2.3", 443, "10.0.0.0/8", True),
        ("10.1.2.3", 443, "10.0.0.0/8:80 192.168.0.0/16", False),
        ("10.1.2.3", 443, "10.1.2.3", True),
        ("11.1.2.3", 443, "10.0.0.0/8", False),
        ("fd00::1", 443, "fd00::/8", True),
        ("::1", 443, "[::1]:443", True),
        ("::1", 443, "[::1]:80", False),
        ("::1", 443, "0:0:0:0:0:0:0:1", True),
        ("live.aliyuncs.com", 443, "., :, 10.0.0.0/99, a:b:c", False),
    ],
)
def test_no_proxy(host: str, port: int, no_proxy: str, exempt: bool) -> None:
    """NO_PROXY knows names, what is below them, addresses, networks and ports."""
    assert is_exempt(host, port, no_proxy) is exempt


@pytest.mark.parametrize(
    ("configured", "environment", "expected"),
    [
        (None, {}, None),
        ("http://p:1", {"HTTPS_PROXY": "http://q:2", "NO_PROXY": "*"}, Proxy("http://p:1", "proxy")),
        (None, {"HTTPS_PROXY": "q:2", "HTTP_PROXY": "http://r:3"}, Proxy("http://q:2", "HTTPS_PROXY")),
        (None, {"HTTPS_PROXY": "http://q:2", "https_proxy": "http://s:4 "}, Proxy("http://s:4", "https_proxy")),
        (None, {"HTTPS_PROXY": "http://q:2", "https_proxy": ""}, None),
        (None, {"HTTPS_PROXY": "http://q:2", "no_proxy": "aliyuncs.com", "NO_PROXY": ""}, None),
    ],
)
def test_the_proxy_of_a_request(configured: str | None, environment: dict[str, str], expected: Proxy | None) -> None:
    """The configured proxy counts before the environment's, whose lower case counts before its upper case."""
    assert proxy_for("https", "live.aliyuncs.com", 443, configured=configured, environment=environment) == expected


def test_a_request_that_hangs_in_a_proxy_names_it() -> None:
    """A timeout says through which proxy the request went, without user and password."""
    proxy = Proxy("http://user:hunter2@proxy:3128", "proxy")
    error = transport_failure(TimeoutError(), host="live.aliyuncs.com", port=443, proxy=proxy)
    assert "live.aliyuncs.com:443 did not answer in time through the proxy proxy:3128" in str(error)
    assert "hunter2" not in str(error)
