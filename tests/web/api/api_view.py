"""The API of a view: over HTTP, and its answers as documents without it."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from exporter.core.collection_state import State
from exporter.web.api import ENDPOINTS
from exporter.web.lists import Listing, listing_text
from exporter.web.query import read_query
from exporter.web.view import FindingKind, RuleView
from tests.metrics.builders import configuration
from tests.support.virtual_time import finished
from tests.web.fake_view import FULL, NOW, PENDING, Client, FakeView, app_view, entry, findings, recorded, rule


def full_view() -> FakeView:
    """Return a view that has something of everything, hostile texts included."""
    stale = app_view(app_id="live-stale", up=False, data_available=False, state=State.TIMEOUT, reason="it took 10 s")
    view = FakeView([app_view({("CN-Shanghai", "mixed"): 2}), stale, PENDING])
    view.put([entry("task-1"), entry("task-2", configuration()), entry('"><script>\ud800\n/../%2f', FULL, "\u202e\0")])
    view.put([entry("task-1")], app_id="live-stale")
    view.recorded = [recorded(number) for number in range(1, 30)]
    view.violations = [findings({"task-1": NOW, "task-2": NOW}), findings({"task-1": NOW}, rule=rule("b"))]
    view.found = {FindingKind.EXEMPTED: [findings({}, ageless=["task-2"], rule=rule("c"))]}
    view.shown_rules = [RuleView(rule()), RuleView(rule("b"), why_off="policy.rules"), RuleView(rule("c"))]
    return view


async def json_of(client: Client, path: str, **parameters: Any) -> Mapping[str, Any]:
    """Return a good answer."""
    answer = await client.get(path, params=parameters)
    assert answer.status == 200, await answer.text()
    document: Mapping[str, Any] = await answer.json()
    return document


def listing_of(view: FakeView, name: str, **given: object) -> Listing:
    """Return what `/api/v1/NAME` lists, for parameters of its query."""
    (endpoint,) = (one for one in ENDPOINTS if one.path == f"/api/v1/{name}")
    assert endpoint.respond is not None
    query = read_query([(key, str(value)) for key, value in given.items()], endpoint.parameters)
    found = finished(endpoint.respond(view, query, NOW))
    assert isinstance(found, Listing)
    return found


def document(listing: Listing) -> Mapping[str, Any]:
    """Return a response with all its items."""
    whole: Mapping[str, Any] = json.loads(finished(listing_text(listing)))
    return whole


def page_of(view: FakeView, name: str, **given: object) -> Mapping[str, Any]:
    """Return the response of `/api/v1/NAME`."""
    return document(listing_of(view, name, **given))


def followed(
    view: FakeView, name: str, between: Callable[[Mapping[str, Any]], object] = lambda _page: None, **given: object
) -> Sequence[Mapping[str, Any]]:
    """Return the items of all pages; `between` gets each page before the next one is asked for."""
    items: list[Mapping[str, Any]] = []
    for _ in range(1000):
        page = page_of(view, name, **given)
        assert len(page[name]) <= int(str(given.get("limit", 100)))
        items += page[name]
        if page["next_cursor"] is None:
            return items
        between(page)
        given["cursor"] = page["next_cursor"]
    raise AssertionError("the pages have no end")
