"""Whatever is in the file of the web configuration: it is accepted, or refused with a line for each mistake."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.core.regular_file import SeenFiles
from exporter.web.webconfig.web_config import read_web_config
from tests.support.configurations import mistakes_if_refused
from tests.support.generated import examples

KEYS = (
    *("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit", "cert", "cert_file"),
    *("key", "key_file", "client_auth_type", "client_ca", "client_ca_file", "client_allowed_sans"),
    *("cipher_suites", "min_version", "max_version", "curve_preferences", "prefer_server_cipher_suites"),
    *("http2", "headers", "interval", "burst", "Strict-Transport-Security", "X-Frame-Options"),
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(["TLS12", "1s", "nosniff", "RequireAndVerifyClientCert", "$2b$10$x", "/dev/null", ".", "\x00"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner),
    max_leaves=15,
)
SHAPED = st.fixed_dictionaries(
    {}, optional={key: st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5) for key in KEYS[:4]}
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Name one file for all generated contents."""
    return tmp_path_factory.mktemp("fuzz") / "web.yml"


def accepts_or_refuses(file: Path, content: bytes) -> None:
    """Read a content: nothing but ConfigError is raised, with a line for each mistake."""
    file.write_bytes(content)
    mistakes_if_refused(lambda: read_web_config(file, SeenFiles()))


@given(value=SHAPED | VALUES)
@settings(max_examples=examples(120))
def test_any_yaml_is_accepted_or_refused(file: Path, value: Any) -> None:
    """Whatever values are under whatever keys."""
    accepts_or_refuses(file, yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass"))


@given(content=st.binary(max_size=120) | st.text("{}[]:,-&*!|>'\"#% \n\tab", max_size=60).map(str.encode))
@settings(max_examples=examples(120))
def test_any_bytes_are_accepted_or_refused(file: Path, content: bytes) -> None:
    """Whatever bytes, YAML or not."""
    accepts_or_refuses(file, content)
