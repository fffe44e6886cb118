"""Reading the file: what it means, and every mistake with its place."""

from pathlib import Path

import pytest
import trustme

from exporter.config.mistakes import ConfigError
from exporter.web.toolkit.rate_limit import Rate
from exporter.web.toolkit.seen_files import SeenFiles
from exporter.web.toolkit.web_config import WebConfig, read_web_config
from tests.support.certificates import HASH

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
    """A bad file is refused with the very lines that stand beside it."""
    monkeypatch.chdir((corpus / path.relative_to(HERE)).parent)
    with pytest.raises(ConfigError) as refused:
        read(Path(path.name))
    assert str(refused.value) + "\n" == path.with_suffix(".txt").read_text()


def test_no_mistake_shows_a_hash_or_a_password(corpus: Path) -> None:
    """What stands where a hash belongs is not repeated: it may be the password itself."""
    for path in sorted(corpus.glob("bad/*.yml")):
        with pytest.raises(ConfigError) as refused:
            read(path)
        assert "wonderland" not in str(refused.value)
        assert "$2" not in str(refused.value)


def test_an_absent_file_is_a_mistake(tmp_path: Path) -> None:
    """A file that is not there is named, with the reason."""
    with pytest.raises(ConfigError, match=r"web\.yml:1:1: the file can't be read \(No such file or directory\)"):
        read(tmp_path / "web.yml")


def test_nothing_is_asked_for_by_default(tmp_path: Path) -> None:
    """An empty file is plain HTTP for everyone."""
    config = written(tmp_path, "")
    assert (config.tls, config.users, config.headers, config.rate) == (None, {}, {}, None)


def test_all_parts_are_read(directory: Path) -> None:
    """TLS, users, headers and the rate limit come out as they stand there."""
    config = written(
        directory,
        "tls_server_config: {cert_file: server.pem, key_file: server.key}\n"
        "http_server_config: {http2: true, headers: {X-Frame-Options: deny, X-XSS-Protection: 0}}\n"
        f"basic_auth_users: {{alice: {HASH}}}\n"
        "rate_limit: {interval: 250ms, burst: 3}\n",
    )
    assert config.tls is not None
    assert config.asks_for_http2
    assert config.headers == {"X-Frame-Options": "deny", "X-XSS-Protection": "0"}
    assert config.users == {b"alice": HASH}
    assert config.rate == Rate(interval_seconds=0.25, burst=3)


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


def test_http2_counts_as_asked_for_only_in_so_many_words(tmp_path: Path) -> None:
    """The default is not a wish of whoever wrote the file."""
    assert not written(tmp_path, "http_server_config: {headers: {}}\n").asks_for_http2
    assert written(tmp_path, "http_server_config: {http2: on}\n").asks_for_http2


def test_a_header_keeps_to_its_line(tmp_path: Path) -> None:
    """A value of several lines is sent as one, so that it can't begin another header."""
    config = written(tmp_path, 'http_server_config: {headers: {X-XSS-Protection: "0\\r\\nSet-Cookie: a=b\\0\\n"}}\n')
    assert config.headers == {"X-XSS-Protection": "0  Set-Cookie: a=b"}


def test_nothing_secret_is_shown_by_what_was_read(directory: Path) -> None:
    """Neither hash nor key is in a representation, which a log or a traceback might show."""
    config = written(directory, f"basic_auth_users: {{alice: {HASH}}}\n")
    assert HASH not in repr(config)
    assert "alice" not in repr(config)
