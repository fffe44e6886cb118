"""What the Helm chart carries of what is made elsewhere: Helm reads no file outside a chart."""

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

from tests.references.configuration_schema import json_schema
from tests.support.configurations import read_yaml

CHART: Final = "deploy/helm/rtcmpu-exporter"
RULE_FILES: Final = tuple(sorted((Path(__file__).parent.parent / "deploy/prometheus").glob("rtcmpu.*.yml")))
"""The alerts and recording rules, as people read them."""
_SCHEMA_SOURCE: Final = Path(__file__).parent.parent / "deploy/helm/values.schema.yml"


def chart_files(dashboards: Mapping[str, str]) -> Mapping[str, str]:
    """Return each generated file of the chart by its path from the root; `dashboards` are text by path too."""
    return {
        f"{CHART}/values.schema.json": values_schema(_SCHEMA_SOURCE.read_text(encoding="utf-8")),
        **{f"{CHART}/files/rules/{path.name}": path.read_text(encoding="utf-8") for path in RULE_FILES},
        **{f"{CHART}/files/dashboards/{Path(name).name}": text for name, text in dashboards.items()},
    }


def values_schema(source: str) -> str:
    """Return the schema of the chart's values: the source, and below `config` what the program itself accepts.

    The chart's own values have no account yet, so that none is needed here: a template asks for one.
    """
    schema: dict[str, Any] = read_yaml(source)
    configuration: dict[str, Any] = deepcopy(json_schema())
    del configuration["$schema"], configuration["title"], configuration["required"]
    definitions = configuration.pop("$defs")
    del configuration["properties"]["accounts"]["minItems"]
    schema["properties"]["config"] = configuration
    apps = schema["properties"]["appFiles"]["additionalProperties"]
    apps["items"] = {"$ref": "#/$defs/App"}
    schema["$defs"] |= definitions
    text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    # Helm reads patterns as Go does, which has no `\u0000`; editors read them as JavaScript does: both know `\x00`.
    return text.replace(r"\\u0000", r"\\x00")
