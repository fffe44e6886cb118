"""The API of a view over HTTP."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from aiohttp import web
from aiohttp.test_utils import TestClient

from exporter.core.collection_state import State
from exporter.web.api.api_routes import api_routes
from exporter.web.application import accounting
from exporter.web.view import FindingKind, RuleView
from tests.metrics.builders import configuration
from tests.web.fake_view import FULL, NOW, PENDING, FakeView, FixedClock, app_view, entry, findings, recorded, rule

Client: TypeAlias = TestClient[web.Request, web.Application]


def full_view() -> FakeView:
    """Return a view that has something of everything, hostile texts included."""
    stale = app_view(app_id="live-stale", up=False, data_available=False, state=State.TIMEOUT, reason="it took 10 s")
    view = FakeView([app_view({("CN-Shanghai", "mixed"): 2}), stale, PENDING])
    view.put([entry("task-1"), entry("task-2", configuration()), entry('"><script>\ud800\n/../%2f', FULL, "\u202e\0")])
    view.put([entry("task-1")], app_id="live-stale")
    view.recorded = [recorded(number) for number in range(1, 30)]
    view.found = {
        FindingKind.VIOLATION: [findings({"task-1": NOW, "task-2": NOW}), findings({"task-1": NOW}, rule=rule("b"))],
        FindingKind.EXEMPTED: [findings({}, ageless=["task-2"], rule=rule("c"))],
    }
    view.shown_rules = [RuleView(rule()), RuleView(rule("b"), why_off="policy.rules"), RuleView(rule("c"))]
    return view


def api_of(view: FakeView) -> web.Application:
    """Return an application that has the API alone."""
    app = web.Application(middlewares=[accounting(view)])
    app.add_routes(api_routes(view, FixedClock()))
    return app


async def json_of(client: Client, path: str, **parameters: Any) -> Mapping[str, Any]:
    """Return a good answer."""
    answer = await client.get(path, params=parameters)
    assert answer.status == 200, await answer.text()
    document: Mapping[str, Any] = await answer.json()
    return document
