"""The API against its OpenAPI document, by requests that another program makes up from it, good ones and bad ones."""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from exporter.web.api.api_routes import openapi_text
from tests.web.api.api_view import api_of, full_view

SCHEMA = schemathesis.openapi.from_dict(json.loads(openapi_text()))

CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]
"""All but those about users, whom the API itself does not know. Texts that only look like a cursor are refused."""


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """Where the API of a view that has something of everything is served, in a thread."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(api_of(full_view()), access_log=None)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield "http://{}:{}".format(*runner.addresses[0])
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@SCHEMA.parametrize()
@settings(
    max_examples=10,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_answers_are_as_described(case: Any, base_url: str) -> None:
    """Whatever is asked, the answer has a documented status and form; a good query is taken, a bad one refused."""
    answer = case.call_and_validate(base_url=base_url, checks=CHECKS)
    is_good = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if is_good and "cursor" not in (case.query or {}):
        assert answer.status_code in {200, 404}, answer.text
