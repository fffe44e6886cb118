"""A service whose every answer is hostile: all that the program puts out about it is well-formed, inert and bounded."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree as ET

import pytest
from aiohttp import web
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from exporter.storage.database import Database
from tests.support.configurations import account, write_configuration
from tests.support.fake_service import serving
from tests.support.hostile import HOSTILE, MARK, PRODUCT, Elements, escape_codes, hostile_rows, page_of
from tests.support.http import ask
from tests.support.processes import Finished, Programs, eventually

pytestmark = pytest.mark.processes

APP = "app-1"
ROWS = hostile_rows(APP)
RULES = """\
rules:
  - name: named
    title: Every task is named
    severity: warning
    when: "true"
    expect: 'task_id == "x"'
    message: '"it is " + task_id + " in " + channel_id'
"""
REST = (
    "collection: {interval: 300ms, sweep_interval: 1s, stale_after: 60s}\n"
    "storage: {url: 'sqlite:state'}\n"
    "policy: {rule_files: [rules.yml]}\n"
    "metrics: {per_task: {enabled: true}}\n"
)
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
LONGEST_LINE = 40_000  # characters of a line of a log or an exposition: a few times the longest text
LONGEST_OUTPUT = 4_000_000
Outputs = dict[str, str]


@asynccontextmanager
async def hostile_service() -> AsyncIterator[str]:
    """Serve an app whose rows are all hostile, and change half of them with every third answer."""
    asked = 0

    def answer(request: web.BaseRequest) -> web.Response:
        nonlocal asked
        asked += 1
        change = {"MaxIdleTime": "60"} if asked // 3 % 2 else {}
        rows = [{**row, **change} for row in ROWS]
        wanted = request.query.get("TaskId")
        if wanted is None:
            size = int(request.query["PageSize"])
            begin = (int(request.query["PageNo"]) - 1) * size
            listed = rows[begin : begin + size]
        else:
            listed = [row for row in rows if row["TaskId"] == wanted]
        return web.Response(body=page_of(listed), content_type="application/json")

    async with serving(answer) as service:
        yield service.address


async def test_hostile_rows_stay_text_in_every_output(programs: Programs) -> None:
    """Logs, metrics, pages, JSON, tables, SARIF, JUnit and the database of rows whose every field is hostile."""
    async with hostile_service() as endpoint:
        (programs.directory / "rules.yml").write_text(RULES)
        config = write_configuration(programs.directory, account(endpoint, [APP]), rest=REST)
        outputs = await asyncio.to_thread(_outputs, programs, config)
    for name, text in outputs.items():
        assert text, name
        assert len(text) < LONGEST_OUTPUT, name
        assert PRODUCT not in text, f"{name}: a template was evaluated"
        for checked, check in CHECKS.items():
            if name.startswith(checked):
                check(name, text)
    assert {name for name in outputs if not name.startswith(tuple(CHECKS))} == set()


def _outputs(programs: Programs, config: Path) -> Outputs:
    """Return everything that the program says about the service, by where."""
    outputs: Outputs = {}
    for log_format in ("logfmt", "json"):
        daemon, url = programs.start_daemon(config, f"--log.format={log_format}")
        daemon.wait_for("collection is complete")
        daemon.wait_for("task modified")
        eventually(partial(_is_evaluated, url))
        if log_format == "logfmt":
            for path in _paths():
                outputs[f"page {path}" if "/api/" not in path else f"json {path}"] = ask(url + path).text
            outputs["json /metrics 404"] = ask(f"{url}/api/v1/{quote(HOSTILE['markup'])}").text
            outputs["page /config"] = ask(f"{url}/config").text
            for path in ("/metrics", "/metrics/tasks"):
                outputs[f"plain {path}"] = ask(url + path).text
                outputs[f"openmetrics {path}"] = ask(url + path, headers={"Accept": OPENMETRICS}).text
        outputs[f"log {log_format}"] = daemon.end().err
    for command, formats in {
        "audit": ("table", "json", "sarif", "junit"),
        "collect": ("table", "json", "prometheus"),
    }.items():
        for output in formats:
            done = programs.run_exporter(command, f"--config.file={config}", f"--output={output}")
            outputs[f"{_kind_of(output)} {command} {output}"] = _told(done)
    database = Database(f"sqlite:{programs.directory / 'state'}")
    (saved,) = database.load()
    database.close()
    outputs["state"] = "\n".join(entry.task.task_id for entry in saved.entries)
    return outputs


def _told(done: Finished) -> str:
    """Return what a command printed, which ended well."""
    assert done.code in {0, 1}, done.err
    assert escape_codes(done.err) == set()
    return done.out


def _paths() -> list[str]:
    """Return the paths of all pages and of the API."""
    app = f"/apps/production/{APP}"
    texts = [text.encode("utf-8", "replace").decode() for text in HOSTILE.values() if "\x00" not in text]
    tasks = [quote(text, safe="") for text in texts]
    return [
        *("/", app, f"{app}?sort=bitrate&task_region=other", "/violations", "/rules", "/nothing"),
        *(f"{app}?task_id={task}" for task in tasks if len(task) < 1000),
        *(f"{app}/tasks/{task}%202" for task in tasks),
        *("/api/v1/apps", "/api/v1/tasks?limit=1000", "/api/v1/changes?limit=1000", "/api/v1/violations?limit=1000"),
        *(
            "/api/v1/rules",
            "/api/v1/openapi.json",
            "/api/v1/tasks?account=%1b%5b31m%00",
            "/api/v1/tasks?cursor=%3Cb%3E",
        ),
        *(f"/api/v1/tasks/production/{APP}/{task}%202" for task in tasks),
    ]


def _is_evaluated(url: str) -> None:
    """Whether findings are there."""
    assert json.loads(ask(f"{url}/api/v1/violations").text)["matching"] >= len(ROWS)


def _check_terminal(name: str, text: str) -> None:
    """Nothing that a terminal acts upon."""
    assert escape_codes(text) == set(), name


def _check_log(name: str, text: str) -> None:
    """One line for each message, each whole and of bounded length."""
    _check_terminal(name, text)
    assert MARK in text
    for line in text.splitlines():
        assert len(line) < LONGEST_LINE
        if name.endswith("json"):
            assert {"ts", "level", "msg"} <= json.loads(line).keys()
        else:
            assert line.startswith("ts=20")
            assert " level=error " not in line.partition(" msg=")[0] + " "


def _check_json(name: str, text: str) -> None:
    """JSON in pure ASCII."""
    _check_terminal(name, text)
    assert text.isascii(), name
    json.loads(text)


def _check_page(name: str, text: str) -> None:
    """Nothing that runs; error pages for all that is unknown."""
    assert list(Elements(text).executable()) == [], name
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", text), name


def _check_plain(name: str, text: str) -> None:
    """Samples of our families alone, each on its line."""
    _check_families(name, text, [family.name for family in plain(text)])


def _check_openmetrics(name: str, text: str) -> None:
    """The same in the stricter format."""
    _check_families(name, text, [family.name for family in openmetrics(text)])  # type: ignore[no-untyped-call]


def _check_families(name: str, text: str, families: list[str]) -> None:
    assert [family for family in families if not family.startswith(("rtcmpu_", "process_", "python_"))] == [], name
    assert max(map(len, text.splitlines())) < LONGEST_LINE, name


def _check_xml(name: str, text: str) -> None:
    """XML that parses."""
    _check_terminal(name, text)
    ET.fromstring(text)  # noqa: S314 - it is ours


def _check_state(_name: str, text: str) -> None:
    """The rows are kept as they came."""
    assert text.count(MARK) >= len(ROWS)


def _kind_of(output: str) -> str:
    """Say by what the output of a command is checked."""
    return {"json": "json", "sarif": "json", "junit": "xml", "prometheus": "plain"}.get(output, "terminal")


CHECKS: Mapping[str, Callable[[str, str], None]] = {
    "log": _check_log,
    "json": _check_json,
    "page": _check_page,
    "plain": _check_plain,
    "openmetrics": _check_openmetrics,
    "terminal": _check_terminal,
    "xml": _check_xml,
    "state": _check_state,
}
