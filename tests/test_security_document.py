"""SECURITY.md says the limits that the code has."""

import re
from pathlib import Path

import msgspec
import pytest

from exporter.aliyun import credentials, push_signature, push_url, response, row_schema, transport
from exporter.aliyun import errors as failures
from exporter.aliyun import parse_task as row
from exporter.aliyun.field_reader import MAX_NAME_CHARACTERS
from exporter.collector import past as history
from exporter.collector import requests
from exporter.config import files, yaml_nodes
from exporter.config.model import Collection
from exporter.core import regular_file
from exporter.rules import cel_language as language
from exporter.rules import rule as compiled
from exporter.service import daemon, recorder
from exporter.service import on_demand as fresh_sweep
from exporter.service import process as heartbeat
from exporter.storage import writer
from exporter.web.http_server import DEFAULT_LIMITS
from exporter.web.webconfig import users

DOCUMENT = (Path(__file__).parent.parent / "SECURITY.md").read_text(encoding="utf-8")
MIB = 1024**2
IN = DEFAULT_LIMITS
SAID = {
    "simultaneous connections": f"{IN.most_connections}",
    "all headers of a request, and its body": f"{IN.longest_request_bytes // 1024} KiB",
    "one header, and a URL": f"{IN.longest_line_bytes} bytes",
    "number of headers": f"{IN.most_headers}",
    "simultaneous scrapes": f"{IN.most_scrapes}",
    "when a scrape counts as slow": f"{IN.slow_scrape_seconds:g} s",
    "cached correct passwords": f"{users.MOST_REMEMBERED}",
    "cached wrong passwords": f"{users.MOST_REMEMBERED_WRONG}",
    "requests per address waiting for a password check": f"{users.MOST_WAITING}",
    "a page of the list, decompressed": f"{transport.MAX_BODY_BYTES // MIB} MiB",
    "rows of a page, and size of a row": f"{response.MAX_ROWS}, and {row.MAX_ROW_BYTES // 1024} KiB",
    "values of a page, counted by commas": f"{response.MAX_COMMAS}",
    "everything around the list of a page": f"{response.MAX_OUTSIDE_BYTES // 1024} KiB",
    "the body of an error response": f"{failures.MAX_ERROR_BYTES // 1024} KiB",
    "a page decoded on the event loop": f"{transport.LARGE_BODY_BYTES // 1024} KiB",
    "a TaskId, and a ChannelId": f"{row.MAX_ID_BYTES} bytes",
    "URLs, panes and users of a task": f"{row_schema.MAX_URLS}, {row_schema.MAX_PANES} and {row_schema.MAX_USERS}",
    "a push URL": (
        f"{push_url.LONGEST_URL:,} characters, {push_url.LONGEST_NOT_ASCII} if some are not ASCII; ten parameters;"
        f" {push_signature.LONGEST_CLAIMS} characters of a JWT's claims"
    ),
    "connections to the service per account": f"{transport.MAX_CONNECTIONS}",
    "a text of a row that becomes a name": f"{MAX_NAME_CHARACTERS} characters",
    "a configuration file, and a rule file": f"{files.MOST_BYTES // MIB} MiB",
    "values in a configuration file": f"{yaml_nodes.MOST_VALUES}",
    "a file of the web configuration": f"{regular_file._MOST_BYTES // MIB} MiB",
    "an expression of a rule": f"{language.LONGEST_EXPRESSION} characters",
    "the message of a violation": f"{compiled.LONGEST_MESSAGE} characters",
    "changes of an app that wait for the database": f"{writer.MOST_WAITING}",
    "remembered changes": f"{history.NEWEST}",
    "in: until the first request of a connection is complete; a later one, from its first byte": (
        f"{IN.longest_head_seconds:g} s"
    ),
    "in: for the next request; for a client to read a ready response": f"{IN.longest_idle_seconds:g} s",
    "in: until a response is ready": f"{IN.longest_answer_seconds:g} s",
    "in: for a client to read metrics": f"{IN.longest_scrape_seconds:g} s",
    "in: for the TLS handshake": f"{IN.longest_handshake_seconds:g} s",
    "in: for the end of TLS; for the rest of an unused request body": f"{IN.longest_farewell_seconds:g} s",
    "out: one request to the service, from connecting to the last byte": f"{Collection().request_timeout_seconds:g} s",
    "out: between two attempts": f"{requests.LONGEST_WAIT_SECONDS:g} s",
    "out: a wait that the service asks for": f"{failures.MAX_WAIT_SECONDS:g} s",
    "out: an idle connection to the service": f"{transport.KEEP_ALIVE_SECONDS:g} s",
    "out: fetching credentials": f"{credentials.FETCH_DEADLINE_SECONDS:g} s",
    "a sweep requested on a page": f"{fresh_sweep.LONGEST_SECONDS:g} s",
    "the first evaluation of all rules at the start": f"{daemon.LONGEST_JUDGING_SECONDS:g} s",
    "after SIGTERM: for responses in progress": f"{daemon.DRAIN_SECONDS:g} s",
    "after SIGTERM: writing to the database": f"{recorder.LONGEST_LAST_WRITE_SECONDS:g} s",
    "reading the database at the start": f"{recorder.LONGEST_LOAD_SECONDS:g} s",
    "the event loop is blocked: unhealthy": f"{daemon.STUCK_SECONDS:g} s",
    "the event loop is blocked: exit": f"{heartbeat.END_AFTER_SECONDS:g} s",
    "reading the configuration files": f"{daemon.LONGEST_READ_SECONDS:g} s",
}


def _limits() -> dict[str, str]:
    """Return the first two cells of each row of the tables of limits and waits."""
    tables = DOCUMENT[DOCUMENT.index("## Limits of incoming requests") :]
    rows = re.findall(r"^\| (.+?) \| (.+?) \| .+ \|$", tables, re.MULTILINE)
    return {name: value for name, value in rows if name not in {"limit", "wait", "---"}}


def test_every_limit_is_said_as_it_is() -> None:
    """Each row has the value of the code, and there is none besides."""
    assert _limits() == SAID


def test_every_limit_of_the_server_is_said() -> None:
    """No bound of what comes in is left out."""
    values_said = [re.sub(r"[^0-9.]", "", value) for value in SAID.values()]
    for name, value in msgspec.structs.asdict(IN).items():
        shown = f"{value // 1024}" if name == "longest_request_bytes" else f"{value:g}"
        assert shown in values_said, name


@pytest.mark.parametrize("path", re.findall(r"\]\((?!https?:)([^)#]+)\)", DOCUMENT))
def test_what_it_links_to_is_there(path: str) -> None:
    """Every link leads to a file."""
    assert (Path(__file__).parent.parent / path).exists()


def test_metrics_are_read_within_what_an_answer_may_take() -> None:
    """The bound of an answer does not cut off who reads metrics within theirs."""
    assert IN.longest_scrape_seconds < IN.longest_answer_seconds
