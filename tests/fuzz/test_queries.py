"""Whatever is in a query of a URL, or in a web configuration: it is understood, or refused with sentences."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import MultiDict

from exporter.core.regular_file import SeenFiles
from exporter.web.api import ENDPOINTS
from exporter.web.pages import app_pages, page_routes
from exporter.web.query import BadQueryError, read_form, read_query
from exporter.web.webconfig.web_config import read_web_config
from tests.support.configurations import mistakes_if_refused
from tests.support.generated import examples

Pairs = Sequence[tuple[str, str]]

API = {one.path: one.parameters for one in ENDPOINTS if len(one.parameters) > 2}
FORMS = {
    "page of tasks": app_pages.TASKS_PARAMETERS,
    "page of violations": page_routes.FINDING_PARAMETERS,
    "page of rules": page_routes.RULE_PARAMETERS,
}
NAMES = sorted({one.name for parameters in (API | FORMS).values() for one in parameters})
VALUES = st.text(st.characters(), max_size=20) | st.sampled_from(
    (
        *("", "1", "0", "-1", "9" * 20, "1e3", "NaN", "2027-02-30T00:00:00Z", "9999-12-31T23:59:59-23:59", "\u0663"),
        *("0001-01-01T00:00:00+23:59", "warning", "W10", "eyJ9", "bnVsbA", "WzEsMl0", "W1tbW1tbW1tbW10", "W" * 5000),
    )
)
PAIRS = st.lists(st.tuples(st.sampled_from(NAMES) | st.text(max_size=5), VALUES), max_size=4)


@pytest.mark.parametrize("reader", API | FORMS)
@given(pairs=PAIRS)
@settings(max_examples=examples(80))
def test_any_query_is_understood_or_refused(reader: str, pairs: Pairs) -> None:
    """Nothing but BadQueryError is raised; its sentence is one line, and no longer than the query makes it."""
    try:
        read_query(pairs, API[reader]) if reader in API else read_form(MultiDict(pairs), FORMS[reader])
    except BadQueryError as error:
        refusal = str(error)
    else:
        refusal = ""
    assert refusal == "" or refusal.isprintable()
    assert len(refusal) < 500 + 10 * sum(len(name) + len(value) for name, value in pairs)


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
YAML_VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner),
    max_leaves=15,
)
SHAPED = st.fixed_dictionaries(
    {}, optional={key: st.dictionaries(st.sampled_from(KEYS), YAML_VALUES, max_size=5) for key in KEYS[:4]}
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Name one file for all generated contents."""
    return tmp_path_factory.mktemp("fuzz") / "web.yml"


def accepts_or_refuses(file: Path, content: bytes) -> None:
    """Read a content: nothing but ConfigError is raised, with a line for each mistake."""
    file.write_bytes(content)
    mistakes_if_refused(lambda: read_web_config(file, SeenFiles()))


@given(value=SHAPED | YAML_VALUES)
@settings(max_examples=examples(120))
def test_any_yaml_is_accepted_or_refused(file: Path, value: Any) -> None:
    """Whatever values are under whatever keys."""
    accepts_or_refuses(file, yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass"))


@given(content=st.binary(max_size=120) | st.text("{}[]:,-&*!|>'\"#% \n\tab", max_size=60).map(str.encode))
@settings(max_examples=examples(120))
def test_any_bytes_are_accepted_or_refused(file: Path, content: bytes) -> None:
    """Whatever bytes, YAML or not."""
    accepts_or_refuses(file, content)
