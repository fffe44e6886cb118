"""Requests that schemathesis makes up from the OpenAPI document. Its import takes a second: import it within a test."""

from pathlib import Path
from typing import Any

import schemathesis
from click.testing import CliRunner, Result
from schemathesis import cli

EXCLUDED = ("since is later than until", "does not go with state=resolved")
"""Refusals of what a schema can't say."""


@schemathesis.check
def good_query_is_taken(
    _context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """A query as described is answered, unless parts of it exclude each other or a text only looks like a cursor."""
    is_good = case.meta is not None and case.meta.generation.mode is schemathesis.GenerationMode.POSITIVE
    if is_good and "cursor" not in (case.query or {}):
        assert response.status_code in {200, 404} or any(excluded in response.text for excluded in EXCLUDED)


CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    good_query_is_taken.__name__,
)
"""All but those about users, whom the API itself does not know."""


def check_answers(document: Path, base_url: str) -> Result:
    """Check what a server answers to good and bad requests; the output lists the failures of all operations."""
    options = {
        "url": base_url,
        "checks": ",".join(CHECKS),
        "phases": "examples,coverage,fuzzing",
        "max-examples": 10,
        "suppress-health-check": "too_slow,filter_too_much",
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    return CliRunner().invoke(cli.schemathesis, ["run", str(document), "--generation-deterministic", *words])
