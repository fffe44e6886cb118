"""Requests that schemathesis makes up from the OpenAPI document. Its import takes a second: import it within a test."""

import json
from typing import Any

from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode, openapi
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.specs.openapi import checks

from exporter.web.api import openapi_text

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]
"""All but those about users, whom the API itself does not know. Texts that only look like a cursor are refused."""
SETTINGS = settings(
    max_examples=10,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def check_answers(base_url: str) -> int:
    """Check what a server answers to good and bad requests; return how many were sent."""
    sent = 0

    def check(case: Any) -> None:
        nonlocal sent
        sent += 1
        answer = case.call_and_validate(base_url=base_url, checks=CHECKS)
        is_good = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
        if is_good and "cursor" not in (case.query or {}):
            assert answer.status_code in {200, 404} or "since is later than until" in answer.text

    schema = openapi.from_dict(json.loads(openapi_text()))
    for read in schema.get_all_operations():
        assert isinstance(read, Ok), f"an operation cannot be read: {read.err()}"
        build_operation_test(
            config=schema.config,
            operation=read.ok(),
            test_func=check,
            given_kwargs={},
            feedback=FeedbackSources(),
            explicit_settings=SETTINGS,
        )()
    return sent
