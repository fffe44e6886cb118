"""The program behind a web configuration: how it starts, and a Prometheus with certificate and password."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.support.certificates import HASH, PASSWORD, client_context, write_pair
from tests.support.http import ask, basic_auth
from tests.support.processes import Programs, eventually
from tests.support.prometheus import start_prometheus

pytestmark = pytest.mark.processes

CONFIGURATION = """\
accounts:
- name: production
  endpoint: http://127.0.0.1:1
  credentials: {access_key_id: id, access_key_secret: secret}
  apps: [{id: live-main}]
"""
WEB = f"""\
tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_ca_file: ca.pem
  client_auth_type: RequireAndVerifyClientCert
  client_allowed_sans: [prometheus.example.com]
basic_auth_users: {{prometheus: {HASH}}}
http_server_config: {{http2: true}}
rate_limit: {{interval: 10ms, burst: 100}}
"""
PARTS = ("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit")
ACCESS = f"""\
scheme: https
basic_auth: {{username: prometheus, password: {PASSWORD}}}
tls_config: {{ca_file: ca.pem, cert_file: prometheus.pem, key_file: prometheus.key, server_name: localhost}}
"""


@pytest.fixture
def programs(directory: Path) -> Iterator[Programs]:
    """Programs that find certificates where they run, and a configuration."""
    (directory / "rtcmpu.yml").write_text(CONFIGURATION)
    with Programs(directory) as programs:
        yield programs


@pytest.mark.parametrize(
    "command", [("serve", "--config.file=rtcmpu.yml"), ("demo", "--simulator.listen-address=127.0.0.1:0")]
)
def test_a_bad_file_is_a_usage_error(command: tuple[str, ...], programs: Programs) -> None:
    """The program ends before it listens, with every mistake and its place, and code 2."""
    (programs.directory / "web.yml").write_text("tls_server_config: {cert_file: absent.pem}\nunknown: 1\n")
    done = programs.run_exporter(*command, "--web.listen-address=127.0.0.1:0", "--web.config.file=web.yml")
    assert done.code == 2
    assert done.err.splitlines() == [
        "web.yml:1:20: neither key nor key_file, expected one of them for TLS",
        "web.yml:1:32: cert_file 'absent.pem' can't be read (No such file or directory), expected a PEM file",
        f"web.yml:2:1: unknown key unknown, expected {', '.join(PARTS[:-1])} or {PARTS[-1]}",
    ]
    assert done.out == ""


def test_prometheus_scrapes_with_certificate_and_password(programs: Programs, authority: trustme.CA) -> None:
    """A real Prometheus gets in by both; others are refused by the handshake or by the answer."""
    directory = programs.directory
    prometheus_certificate = authority.issue_cert("prometheus.example.com")
    write_pair(directory, "prometheus", prometheus_certificate)
    (directory / "web.yml").write_text(WEB)
    exporter, url = programs.start_daemon(
        directory / "rtcmpu.yml", f"--web.config.file={directory / 'web.yml'}", "--web.health-without-auth"
    )
    address = url.removeprefix("http://")
    prometheus = start_prometheus(programs, address, access=ACCESS)

    def is_scraped() -> None:
        assert list(prometheus.query("up").values()) == [1]

    eventually(is_scraped)
    trusted = client_context(authority, prometheus_certificate)
    metrics = f"https://{address}/metrics"
    assert ask(metrics, tls=trusted).status == 401
    assert ask(f"https://{address}/-/ready", tls=trusted).status in {200, 503}
    for client in (
        None,
        authority.issue_cert("someone.example.com"),
        trustme.CA().issue_cert("prometheus.example.com"),
    ):
        with pytest.raises(OSError, match=r"(?i)alert|closed|reset|eof"):
            ask(metrics, headers=basic_auth("prometheus", PASSWORD), tls=client_context(authority, client))

    def is_counted() -> None:
        text = ask(metrics, headers=basic_auth("prometheus", PASSWORD), tls=trusted).text
        assert re.search(r'^rtcmpu_exporter_http_requests_total\{(?=.*"/metrics").*"401".*\} 1', text, re.MULTILINE)

    eventually(is_counted)
    assert exporter.err.count("http2 is not spoken here") == 1
    assert "Traceback" not in exporter.err


def test_the_demo_says_https(programs: Programs) -> None:
    """The demo behind certificates prints addresses that work."""
    (programs.directory / "web.yml").write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}\n")
    demo = programs.start_exporter(
        "demo",
        "--web.listen-address=127.0.0.1:0",
        "--simulator.listen-address=127.0.0.1:0",
        "--web.config.file=web.yml",
    )
    demo.wait_for(r"^metrics +https://127\.0\.0\.1:\d+/metrics$")
