"""`docs/web-config.md` tells the truth."""

import re
from pathlib import Path

import pytest

from exporter.web.toolkit.headers import HEADERS
from exporter.web.toolkit.model import HttpServerConfig, RateLimit, TlsServerConfig, WebConfigFile
from exporter.web.toolkit.seen_files import SeenFiles
from exporter.web.toolkit.tls import CLIENT_AUTHENTICATION, NOT_POSSIBLE
from exporter.web.toolkit.web_config import read_web_config
from tests.support.processes import ROOT

DOCUMENT = (ROOT / "docs" / "web-config.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_works(example: str, directory: Path) -> None:
    """The examples load as they stand there, with the certificates that they name."""
    (directory / "web.yml").write_text(example)
    assert read_web_config(directory / "web.yml", SeenFiles()).tls is not None


def test_every_key_is_named() -> None:
    """No key, header or way of asking for certificates is left out."""
    keys = [key for part in (WebConfigFile, TlsServerConfig, HttpServerConfig, RateLimit) for key in part.model_fields]
    names = [*keys, *HEADERS, *filter(None, CLIENT_AUTHENTICATION), *NOT_POSSIBLE]
    assert [name for name in names if f"`{name}`" not in DOCUMENT] == []
    assert len(EXAMPLES) == 2
