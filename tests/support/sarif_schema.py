"""What SARIF 2.1.0 demands of the objects that an audit writes, as a JSON Schema.

Written from the specification (https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html) for those objects
alone. Properties that the specification has and an audit does not write are left out, so a misspelt one is a mistake.
"""

from typing import Any

TEXT = {"type": "string"}
INDEX = {"type": "integer", "minimum": 0}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
PROPERTIES = {"type": "object", "properties": {"tags": {"type": "array", "uniqueItems": True, "items": TEXT}}}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _list(items: dict[str, Any], *, unique: bool = False) -> dict[str, Any]:
    return {"type": "array", "uniqueItems": unique, "items": items}


MESSAGE = _object(["text"], text={**TEXT, "minLength": 1})
LOCATION = _object(
    ["logicalLocations"],
    logicalLocations=_list(_object([], name=TEXT, fullyQualifiedName=TEXT, kind=TEXT), unique=True),
    physicalLocation=_object(
        ["artifactLocation"],
        artifactLocation=_object([], uri={"type": "string", "pattern": "^[!#-;=?-\\[\\]_a-z~]+$"}),
        region=_object([], startLine={"type": "integer", "minimum": 1}),
    ),
)
DESCRIPTOR = _object(
    ["id"],
    id=TEXT,
    shortDescription=MESSAGE,
    fullDescription=MESSAGE,
    help=MESSAGE,
    helpUri={"type": "string", "pattern": "^[a-z][a-z0-9+.-]*:[^\\s]+$"},
    defaultConfiguration=_object([], level=LEVEL),
    properties=PROPERTIES,
)
NOTIFICATION = _object(
    ["message"], message=MESSAGE, level=LEVEL, locations=_list(LOCATION, unique=True), properties=PROPERTIES
)
SUPPRESSION = _object(
    ["kind"],
    kind={"enum": ["inSource", "external"]},
    status={"enum": ["accepted", "underReview", "rejected"]},
    justification=TEXT,
)
RESULT: dict[str, Any] = {
    **_object(
        ["message"],
        ruleId=TEXT,
        ruleIndex=INDEX,
        kind={"enum": ["notApplicable", "pass", "fail", "review", "open", "informational"]},
        level=LEVEL,
        message=MESSAGE,
        locations=_list(LOCATION),
        partialFingerprints={"type": "object", "additionalProperties": TEXT},
        suppressions=_list(SUPPRESSION, unique=True),
        properties=PROPERTIES,
    ),
    # A kind other than "fail" has no level.
    "if": {"required": ["kind"], "properties": {"kind": {"not": {"const": "fail"}}}},
    "then": {"properties": {"level": {"const": "none"}}},
}
RUN = _object(
    ["tool", "results"],
    tool=_object(["driver"], driver=_object(["name"], name=TEXT, version=TEXT, rules=_list(DESCRIPTOR, unique=True))),
    invocations=_list(
        _object(
            ["executionSuccessful"],
            executionSuccessful={"type": "boolean"},
            toolExecutionNotifications=_list(NOTIFICATION),
        )
    ),
    results=_list(RESULT),
)
SARIF: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **_object(
        ["version", "runs"],
        **{"$schema": {"type": "string", "format": "uri"}},
        version={"const": "2.1.0"},
        runs=_list(RUN),
    ),
}
