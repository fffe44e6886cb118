"""What clients see is what they see of node_exporter, which uses the toolkit itself, with the same file."""

import signal
import ssl
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from tests.support.certificates import HASH, PASSWORD, client_context, write_server_files
from tests.support.http import ask, basic_auth
from tests.support.processes import Programs, Running, eventually, free_port, needed_tool
from tests.web.webconfig.test_programs import CONFIGURATION

pytestmark = pytest.mark.processes

USERS = f"basic_auth_users: {{alice: {HASH}, 'bob': '{HASH}'}}\n"
HEADERS = {
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "X-Frame-Options": "deny",
    "X-XSS-Protection": "0",
    "Content-Security-Policy": "default-src 'self'",
}
PLAIN_FILE = f"{USERS}http_server_config: {{headers: {HEADERS}}}\n"
REFUSED = "refused"


class Pair(NamedTuple):
    """Both with one file."""

    file: Path
    ports: tuple[int, int]  # of node_exporter, and of the exporter under test
    exporter: Running

    def use(self, text: str) -> None:
        """Give both another file: node_exporter reads it with each request, the exporter when it reloads."""
        self.file.write_text(text)
        loaded = "web configuration loaded again"
        before = self.exporter.err.count(loaded)

        def is_reloaded() -> None:
            assert self.exporter.err.count(loaded) > before

        self.exporter.send(signal.SIGHUP)
        eventually(is_reloaded)


def started(programs: Programs, text: str, *flags: str) -> Pair:
    """Start both with a file."""
    file = programs.directory / "web.yml"
    file.write_text(text)
    (programs.directory / "rtcmpu.yml").write_text(CONFIGURATION)
    port = free_port()
    exporter, url = programs.start_daemon(programs.directory / "rtcmpu.yml", f"--web.config.file={file}", *flags)
    node = programs.start(
        needed_tool("prometheus-node-exporter"),
        "--collector.disable-defaults",
        f"--web.config.file={file}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    node.wait_for(r"TLS is (dis|en)abled")
    return Pair(file, (port, int(url.rpartition(":")[2])), exporter)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Path:
    """A directory with certificates that the module's programs share."""
    directory = tmp_path_factory.mktemp("pair")
    write_server_files(directory, authority)
    return directory


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both without TLS."""
    with Programs(tmp_path_factory.mktemp("plain")) as programs:
        yield started(programs, PLAIN_FILE)


@pytest.fixture(scope="module")
def encrypted(directory: Path) -> Iterator[Pair]:
    """Both with TLS."""
    with Programs(directory) as programs:
        yield started(programs, tls())


def tls(*lines: str) -> str:
    """Return a file with certificates and further lines about TLS."""
    return "".join(
        f"{line}\n"
        for line in (
            "tls_server_config:",
            *(f"  {line}" for line in ("cert_file: server.pem", "key_file: server.key", *lines)),
        )
    )


AUTHORIZATIONS: Mapping[str, Mapping[str, str]] = {
    "none": {},
    "right": basic_auth("alice", PASSWORD),
    "another-right": basic_auth("bob", PASSWORD),
    "wrong": basic_auth("alice", "wrong"),
    "empty-password": basic_auth("alice", ""),
    "unknown": basic_auth("nobody", PASSWORD),
    "other-case": basic_auth("Alice", PASSWORD),
    "small-letters": {"Authorization": basic_auth("alice", PASSWORD)["Authorization"].replace("Basic", "basic")},
    "too-long": basic_auth("alice", PASSWORD + "x" * 100),
    "no-colon": {"Authorization": "Basic YWxpY2U="},
    "no-base64": {"Authorization": "Basic !!!"},
    "unpadded": {"Authorization": "Basic YWxpY2U6d29uZGV"},
    "bearer": {"Authorization": "Bearer YWxpY2U6d29uZGVy"},
    "two-spaces": {"Authorization": basic_auth("alice", PASSWORD)["Authorization"].replace(" ", "  ")},
}


@pytest.mark.parametrize("path", ["/metrics", "/nothing-here"])
@pytest.mark.parametrize("authorization", AUTHORIZATIONS)
def test_answers_to_credentials_are_the_same(path: str, authorization: str, plain: Pair) -> None:
    """Status, challenge and headers agree for anyone who asks; for a path that is not there, who is refused."""
    seen = []
    for port in plain.ports:
        answer = ask(f"http://127.0.0.1:{port}{path}", headers=AUTHORIZATIONS[authorization])
        headers = {name: answer.headers.get_all(name) for name in ("WWW-Authenticate", *HEADERS)}
        seen.append((answer.status if path == "/metrics" else answer.status == 401, headers))
    assert seen[0] == seen[1]


def outcome(port: int, context: ssl.SSLContext) -> object:
    """Return how a request over TLS ends."""
    try:
        return ask(f"https://localhost:{port}/metrics", tls=context).status
    except OSError:
        return REFUSED


def limited(authority: trustme.CA, version: ssl.TLSVersion, ciphers: str = "ALL:@SECLEVEL=0") -> ssl.SSLContext:
    """Return a client that speaks one version of TLS."""
    context = client_context(authority)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.set_ciphers(ciphers)
        context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("min_version: TLS13",),
        ("max_version: TLS12",),
        ("min_version: TLS11",),
        ("min_version: TLS10", "max_version: TLS11"),
        ("cipher_suites: [TLS_AES_128_GCM_SHA256]",),
        ("cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]",),
        ("cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]",),
        ("curve_preferences: [CurveP384]",),
    ],
    ids=lambda lines: " ".join(lines) or "defaults",
)
def test_the_same_clients_can_connect(lines: tuple[str, ...], encrypted: Pair, authority: trustme.CA) -> None:
    """Clients of each version, with few ciphers or with another curve, are let in by both or by neither."""
    encrypted.use(tls(*lines))
    versions = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    clients = {version.name: limited(authority, version) for version in versions}
    clients["gcm-128"] = limited(authority, ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256")
    clients["p-256"] = client_context(authority)
    clients["p-256"].set_ecdh_curve("prime256v1")
    node, ours = ({name: outcome(port, client) for name, client in clients.items()} for port in encrypted.ports)
    assert ours == node


@pytest.mark.parametrize(
    "lines",
    [
        ("client_auth_type: NoClientCert",),
        ("client_auth_type: VerifyClientCertIfGiven", "client_ca_file: ca.pem"),
        ("client_auth_type: RequireAndVerifyClientCert", "client_ca_file: ca.pem"),
        ("client_auth_type: RequireAndVerifyClientCert", "client_ca_file: between.pem"),
        ("client_auth_type: RequireAndVerifyClientCert", "client_ca_file: server.key"),
        ("client_auth_type: RequireAndVerifyClientCert",),
    ],
    ids=" ".join,
)
def test_the_same_certificates_are_trusted(
    lines: tuple[str, ...], encrypted: Pair, directory: Path, authority: trustme.CA
) -> None:
    """Clients without a certificate, with one of this or another authority, or of one between, fare alike."""
    between = authority.create_child_ca()
    between.cert_pem.write_to_path(directory / "between.pem")
    # The exporter drops checks of certificates only where the file says so.
    encrypted.use(tls("client_auth_type: NoClientCert"))
    encrypted.use(tls(*lines))
    clients = {
        "none": client_context(authority),
        "known": client_context(authority, authority.issue_cert("client")),
        "between": client_context(authority, between.issue_cert("client")),
        "strange": client_context(authority, trustme.CA().issue_cert("client")),
    }
    node, ours = ({name: outcome(port, client) for name, client in clients.items()} for port in encrypted.ports)
    assert ours == node
