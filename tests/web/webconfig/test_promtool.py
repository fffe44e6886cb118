"""The verdict on a file is that of promtool, the tool that operators check such files with."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.config.mistakes import ConfigError
from exporter.core.regular_file import SeenFiles
from exporter.web.webconfig.web_config import read_web_config
from tests.support.certificates import HASH
from tests.support.processes import needed_tool

pytestmark = pytest.mark.processes

ONLY_HERE = re.compile(
    r"which Python can't do|Python can't set more|nobody could connect|are all of TLS 1\.3|ee key too small"
    r"|a tag \(!\)|a merge key|a second document|an empty item of|the file is empty|has no value: "
)
"""What is refused here and not by promtool: `docs/web-config.md` lists it."""


def promtool_accepts(paths: Sequence[Path]) -> dict[Path, bool]:
    """Return promtool's verdict on each file."""
    command = [str(needed_tool("promtool")), "check", "web-config", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    verdicts = dict(re.findall(r"^ ?(/\S+\.yml) (SUCCESS|FAILED)", done.stdout + done.stderr, re.MULTILINE))
    assert len(verdicts) == len(paths), done
    return {Path(path): verdict == "SUCCESS" for path, verdict in verdicts.items()}


def mistakes(path: Path) -> list[str]:
    """Return what is wrong with a file here."""
    try:
        read_web_config(path, SeenFiles())
    except ConfigError as error:
        return [mistake.text for mistake in error.mistakes]
    return []


@pytest.mark.parametrize(("kind", "accepted"), [("good", True), ("bad", False), ("refused_here", True)])
def test_promtool_says_the_same_of_the_examples(kind: str, accepted: bool, corpus: Path) -> None:
    """It takes all good ones, refuses all bad ones, and what is refused only here it takes."""
    verdicts = promtool_accepts(sorted(corpus.glob(f"{kind}/*.yml")))
    assert {path.stem for path, verdict in verdicts.items() if verdict is not accepted} == set()


def test_what_is_refused_only_here_is_listed(corpus: Path) -> None:
    """Each of these files has one mistake, of a kind that the list of exceptions names."""
    for path in sorted(corpus.glob("refused_here/*.yml")):
        (mistake,) = mistakes(path)
        assert ONLY_HERE.search(mistake), path


def some(*values: str) -> st.SearchStrategy[str]:
    """Return one of the values of a key, often a good one."""
    return st.sampled_from(values)


ONE_IN_A_WHILE = ("~", "''", "1", "true", "[]", "{}", "[x]", "{x: y}", "no-such-thing", "'no'", "*nowhere")
TLS = {
    "cert_file": some("server.pem", "server.pem", "'server.pem'", "ca.pem", "absent.pem", "server.key"),
    "key_file": some("server.key", "server.key", '"server.key"', "absent.key", "encrypted.key"),
    "client_ca_file": some("ca.pem", "server.key", "absent.pem"),
    "client_auth_type": some(
        "NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert", "RequireAnyClientCert", "noclientcert"
    ),
    "min_version": some("TLS10", "TLS11", "TLS12", "TLS13", "'TLS12'", "TLS1.2"),
    "max_version": some("TLS13", "TLS13", "TLS12", "SSL30"),
    "cipher_suites": some(
        "[]",
        "[TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]",
        "[TLS_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_128_CBC_SHA]",
        "[TLS_RSA_WITH_AES_128_CBC_SHA256]",
        "[tls_aes_128_gcm_sha256]",
    ),
    "curve_preferences": some("[X25519]", "[CurveP256]", "[CurveP521, CurveP521]", "[X25519, CurveP256]", "[x25519]"),
    "prefer_server_cipher_suites": some("true", "no", "Off", "oFF", "0", "'true'"),
    "unknown": some("1"),
}
HTTP = {
    "http2": some("true", "false", "YES", "yEs", "n", "N", "tRUE", "1", '"on"'),
    "headers": some(
        "{}",
        "{X-Frame-Options: deny}",
        "{X-Frame-Options: SAMEORIGIN}",
        "{X-Content-Type-Options: nosniff, X-XSS-Protection: 0}",
        "{Content-Security-Policy: {}}",
        "{Strict-Transport-Security: }",
        "{X-Frame-Options: }",
        "{X-Powered-By: me}",
        "{X-XSS-Protection: 0, X-XSS-Protection: 0}",
    ),
    "timeout": some("1s"),
}
USERS = {
    "alice": some(HASH, f"'{HASH}'", HASH[:-2], HASH.replace("$04", "$99")),
    "'bob:b'": some(HASH, HASH.replace("$2b", "$2"), HASH.replace("$2b", "$2zz"), HASH.replace("$2b", "$9b")),
    "7": some(HASH, "secret"),
}


@st.composite
def table(draw: st.DrawFn, keys: dict[str, st.SearchStrategy[str]], duplicates: bool = True) -> str:
    """Draw a mapping in one line, with some of the keys, now and then with one twice or an odd value."""
    names = draw(
        st.lists(st.sampled_from(list(keys)), max_size=6, unique=not duplicates or draw(st.integers(0, 9)) > 0)
    )
    pairs = (
        f"{name}: {draw(st.sampled_from(ONE_IN_A_WHILE) if draw(st.integers(0, 24)) == 0 else keys[name])}"
        for name in names
    )
    return "{" + ", ".join(pairs) + "}"


FILES = table(
    {
        "tls_server_config": st.one_of(table(TLS), st.just("{cert_file: server.pem, key_file: server.key}")),
        "http_server_config": table(HTTP),
        "basic_auth_users": table(USERS),
        "Basic_auth_users": some("{}"),
    }
)


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(FILES, min_size=40, max_size=40))
def test_promtool_says_the_same_of_any_file(texts: list[str], corpus: Path) -> None:
    """Whatever a file combines: both take it or both refuse it, if nothing in it is among the exceptions."""
    paths = [corpus / "good" / f"any-{number}.yml" for number in range(len(texts))]
    try:
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        for path, verdict in promtool_accepts(paths).items():
            found = mistakes(path)
            if not any(map(ONLY_HERE.search, found)):
                assert verdict is (not found), path.read_text()
    finally:
        for path in paths:
            path.unlink()
