"""The web configuration as it is read, names from Go, the rate limit, and `docs/web-config.md`, which is true."""

import re
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.mistakes import ConfigError
from exporter.config.section import keys_of
from exporter.core.regular_file import SeenFiles
from exporter.web.webconfig.gate import TokenBucket
from exporter.web.webconfig.tls import CIPHER_SUITES, CLIENT_AUTHENTICATION, NOT_POSSIBLE, TlsServerConfig
from exporter.web.webconfig.web_config import (
    HEADERS,
    HttpServerConfig,
    RateLimit,
    WebConfig,
    WebConfigFile,
    parse_go_duration,
    read_web_config,
)
from tests.support.certificates import HASH
from tests.support.processes import ROOT
from tests.support.virtual_time import SetClock

HERE = Path(__file__).parent
GOOD = [*sorted(HERE.glob("good/*.yml")), *sorted(HERE.glob("good_newer/*.yml"))]
BAD = [*sorted(HERE.glob("bad/*.yml")), *sorted(HERE.glob("refused_here/*.yml"))]


def read(path: Path) -> WebConfig:
    """Read a file."""
    return read_web_config(path, SeenFiles())


def written(directory: Path, text: str) -> WebConfig:
    """Read a text as a file in a directory."""
    (directory / "web.yml").write_text(text)
    return read(directory / "web.yml")


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_file_is_read(path: Path, corpus: Path) -> None:
    """What the toolkit takes is taken."""
    assert isinstance(read(corpus / path.relative_to(HERE)), WebConfig)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_file_has_exactly_these_mistakes(path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad file is refused with the very lines that are beside it."""
    monkeypatch.chdir((corpus / path.relative_to(HERE)).parent)
    with pytest.raises(ConfigError) as refused:
        read(Path(path.name))
    assert str(refused.value) + "\n" == path.with_suffix(".txt").read_text()


def test_an_absent_file_is_a_mistake(tmp_path: Path) -> None:
    """A file that is not there is named, with the reason."""
    with pytest.raises(ConfigError, match=r"web\.yml:1:1: the file can't be read \(No such file or directory\)"):
        read(tmp_path / "web.yml")


def test_nothing_is_asked_for_by_default(tmp_path: Path) -> None:
    """A file that says that there are no users is plain HTTP for everyone."""
    config = written(tmp_path, "basic_auth_users: {}")
    assert (config.tls, config.users, config.headers, config.rate) == (None, {}, {}, RateLimit())


def test_all_parts_are_read(directory: Path) -> None:
    """TLS, users, headers and the rate limit come out as they are there; a representation shows no hash and no key.

    A header of several lines is sent as one, so that it can't begin another header.
    """
    config = written(
        directory,
        "tls_server_config: {cert_file: server.pem, key_file: server.key}\n"
        'http_server_config: {http2: true, headers: {X-Frame-Options: deny, X-XSS-Protection: "0\\r\\nA: b\\0\\n"}}\n'
        f"basic_auth_users: {{alice: {HASH}}}\n"
        "rate_limit: {interval: 250ms, burst: 3}\n",
    )
    assert config.tls is not None
    assert config.keys.http_server_config.http2
    assert config.headers == {"X-Frame-Options": "deny", "X-XSS-Protection": "0  A: b"}
    assert config.users == {b"alice": HASH}
    assert config.rate == RateLimit(interval_seconds=0.25, burst=3)
    assert not [secret for secret in (HASH, "alice") if secret in f"{config!r} {config.keys!r}"]


def test_certificates_may_stand_in_the_file_itself(tmp_path: Path, authority: trustme.CA) -> None:
    """`cert`, `key` and `client_ca` hold what their files would."""
    issued = authority.issue_cert("localhost")

    def block(pem: trustme.Blob) -> str:
        return "|\n" + "".join(f"    {line}\n" for line in pem.bytes().decode().splitlines())

    config = written(
        tmp_path,
        "tls_server_config:\n"
        f"  cert: {block(issued.cert_chain_pems[0])}"
        f"  key: {block(issued.private_key_pem)}"
        f"  client_ca: {block(authority.cert_pem)}"
        "  client_auth_type: RequireAndVerifyClientCert\n",
    )
    assert config.tls is not None
    assert len(config.tls.get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("interval_seconds", "burst", "pauses", "admitted"),
    [
        (1, 3, [0] * 5, "11100"),
        (2, 2, [0, 0, 0, 1.9, 0.2, 0, 1000, 0, 0], "110010110"),
        (0, 0, [0] * 10, "1" * 10),
        (-1, 0, [0] * 10, "1" * 10),
        (1, 0, [60], "0"),
    ],
    ids=["burst", "one more after each interval", "no interval", "less than none", "no burst"],
)
def test_requests_are_admitted_at_the_rate(
    interval_seconds: float, burst: int, pauses: list[float], admitted: str
) -> None:
    """A full bucket has the burst, each interval brings one more; no interval is no limit, no burst admits nobody."""
    clock = SetClock()
    bucket = TokenBucket(RateLimit(interval_seconds=interval_seconds, burst=burst), clock.monotonic)
    for pause, is_admitted in zip(pauses, admitted, strict=True):
        clock.seconds += pause
        assert bucket.admits() == (is_admitted == "1")


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
    assert len(EXAMPLES) == 1
