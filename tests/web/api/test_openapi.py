"""The OpenAPI document: valid, complete, true of its own examples, and of requests that another program makes up."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import openapi_spec_validator
import pytest
from aiohttp import web

from exporter.collector.inventory import Entry
from exporter.collector.past import FieldChange
from exporter.core.collection_state import State
from exporter.core.task import Audio, Output
from exporter.rules.rule import Exemption, Outcome
from exporter.web.api import ENDPOINTS, openapi_text
from exporter.web.api.openapi import ApiEndpoint
from exporter.web.application import application
from exporter.web.view import FindingDetail, RuleView, TaskFinding, TotalsDocument
from tests.metrics.builders import configuration, encoding
from tests.support.virtual_time import SetClock
from tests.web.api.api_view import full_view, json_of
from tests.web.fake_view import NOW, Client, FakeView, app_view, client_of, entry, findings, recorded, rule

DOCUMENT = json.loads(openapi_text())


def closed(schema: Any) -> Any:
    """Return a schema whose objects have nothing that is not declared."""
    if isinstance(schema, list):
        return [closed(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(value) for name, value in schema.items()}
    return {**inner, "additionalProperties": False} if "properties" in schema else inner


CLOSED = closed(DOCUMENT)


def check(instance: Any, endpoint: ApiEndpoint) -> None:
    """Compare an answer with its schema, beyond which there may be nothing."""
    content = CLOSED["paths"][endpoint.path]["get"]["responses"]["200"]["content"]["application/json"]
    schema = {**content["schema"], "components": CLOSED["components"]}
    jsonschema.Draft202012Validator(schema).validate(instance)


def fields(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each declared field of each answer with its name."""
    for name, schema in document["components"]["schemas"].items():
        for field, declared in schema.get("properties", {}).items():
            yield f"{name}.{field}", declared


def test_the_document_is_valid() -> None:
    """It is OpenAPI 3.1 to another program."""
    openapi_spec_validator.validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1.")


def test_every_route_is_described_and_no_other() -> None:
    """The declared paths are those that are served."""
    app = application(FakeView(), SetClock())
    served = {path for path in (one.canonical for one in app.router.resources()) if path.startswith("/api/v1/")}
    assert set(DOCUMENT["paths"]) == served - {"/api/v1/"} == {endpoint.path for endpoint in ENDPOINTS}


def test_every_field_and_parameter_says_what_it_is() -> None:
    """Nothing is described by its name alone."""
    assert [name for name, field in fields(DOCUMENT) if not field.get("description")] == []
    parameters = [one for path in DOCUMENT["paths"].values() for one in path["get"]["parameters"]]
    assert len(parameters) > 25
    assert all(one["description"] for one in parameters)


def test_every_field_is_always_there() -> None:
    """An answer leaves nothing out: what is not known is null."""
    for schema in DOCUMENT["components"]["schemas"].values():
        assert schema.get("required", []) == list(schema.get("properties", []))


def documented_view() -> FakeView:
    """Return a view of what the examples of the document show."""
    bitrate = rule(
        source="rules/live.yml:3:5",
        apps=("live-*",),
        when="task.mix_mode == 'mixed'",
        reason="It is paid for by bandwidth.",
        remedy="Set VideoBitrate to what was agreed.",
        exempt=(Exemption(name="load-test", tasks=("test-*",), until=date(2027, 1, 31), reason="Agreed upon."),),
    )
    detail = FindingDetail(message="the video has 4500 kbit/s, agreed are 3000")
    times = {"last_update_began": NOW + 290, "last_sweep_began": NOW, "last_attempt_began": NOW + 290}
    view = FakeView(
        [
            app_view({("CN-Shanghai", "mixed"): 1}, quota_mixed=None, attempts={("update", State.OK): 29}, **times),
            app_view(app_id="live-new", data_available=False, reason="no sweep has finished yet"),
        ]
    )
    configured = configuration(
        idle_timeout_seconds=60,
        has_transcode_params=True,
        has_multi_stream_url=True,
        outputs=(Output("rtmp", "push.example.com", is_ali_cdn=True, has_userinfo=False),),
        encoding=encoding(
            codec="H.264", bitrate_kbps=4500, framerate=25, gop=50, width=1280, height=720, audio=Audio(128, 2, 48_000)
        ),
    )
    task = entry("task-1", configured, "stage-a")
    view.put([Entry.of(task.task, first_seen=NOW, last_changed=NOW + 120, sent_at=0.0), entry("task-2")])
    view.violations = [findings({"task-1": NOW + 120}, rule=bitrate, detail=lambda _: detail)]
    view.task_findings = (TaskFinding(bitrate, Outcome.VIOLATION, NOW + 120, detail),)
    view.shown_rules = [RuleView(bitrate, totals=TotalsDocument(violations=1, evaluated=9, oldest_violation=NOW + 120))]
    fields = (FieldChange("idle_timeout", None, "60 s"),)
    modified = {"task_id": "task-1", "change": "modified", "fields": fields, "notes": ("probably_restarted",)}
    view.recorded = [recorded(6), recorded(7, noticed=NOW + 120, **modified)]
    view.began = NOW
    return view


SHOWN = {
    "getApp": "apps/production/live-main",
    "getApps": "apps",
    "getTasks": "tasks?limit=1",
    "getTask": "tasks/production/live-main/task-1",
    "getChanges": "changes?limit=1",
    "getViolations": "violations",
    "getRules": "rules",
    "search": "search?text=live",
}
"""What asks `documented_view` for the example of each operation."""


@pytest.mark.parametrize(
    "endpoint", [one for one in ENDPOINTS if one.answer], ids=lambda endpoint: endpoint.operation_id
)
async def test_examples_are_answers(endpoint: ApiEndpoint) -> None:
    """Each example is what is answered, field by field, and the schema has no other field."""
    view = documented_view()
    if endpoint.operation_id in {"getApps", "search"}:
        view.apps = view.apps[:1]
    if endpoint.operation_id == "search":
        view.put([entry("live-7", channel_id="stage-a")])
    content = DOCUMENT["paths"][endpoint.path]["get"]["responses"]["200"]["content"]["application/json"]
    async with client_of(view) as client:
        assert await json_of(client, f"/api/v1/{SHOWN[endpoint.operation_id]}") == content["example"]
    check(content["example"], endpoint)


async def test_the_document_is_served(client: Client) -> None:
    """What is served is what is written to the documentation."""
    assert await json_of(client, "/api/v1/openapi.json") == DOCUMENT


@pytest.fixture
def base_url() -> Iterator[str]:
    """Where the API of a view that has something of everything is served, in a thread."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(application(full_view(), SetClock()), access_log=None)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield "http://{}:{}".format(*runner.addresses[0])
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_answers_are_as_described(base_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked, the answer has a documented status and form; a good query is taken, a bad one refused."""
    from tests.web.api.requests_by_schemathesis import check_answers  # noqa: PLC0415 - no other worker needs it

    monkeypatch.chdir(tmp_path)  # where it keeps what it has found
    document = tmp_path / "openapi.json"
    document.write_text(openapi_text())
    result = check_answers(document, base_url)
    assert result.exit_code == 0, result.output
    sent = re.search(r"(\d+) generated", result.output)
    assert sent is not None, result.output
    assert int(sent[1]) > 10 * len(ENDPOINTS)
