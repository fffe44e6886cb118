"""Tests of how the dashboards' files are made."""

import json
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.generate import dashboard_files
from tests.generate import ROOT

FILES = dict(dashboard_files())


def test_there_is_no_file_that_nothing_makes() -> None:
    """A dashboard that is no longer made is not left behind."""
    assert {f"grafana/{path.name}" for path in (ROOT / "grafana").glob("*.json")} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_the_round_trip_through_the_sdk_loses_nothing(name: str) -> None:
    """The schema's own reader knows every key: a misspelt one would be gone afterwards."""
    register_default_plugins()
    contents = json.loads(FILES[name])

    again = json.loads(json.dumps(Dashboard.from_json(contents), cls=JSONEncoder))
    assert list(_lost(contents, again, name)) == []


def test_the_provisioning_example_loads_files_and_keeps_them_read_only() -> None:
    """Grafana would load the dashboards from a directory, and let nobody change them by hand."""
    example = yaml.safe_load((ROOT / "grafana" / "provisioning" / "dashboards.yml").read_text(encoding="utf-8"))

    (provider,) = example["providers"]
    assert (example["apiVersion"], provider["type"], provider["allowUiUpdates"]) == (1, "file", False)
    assert provider["options"]["path"].startswith("/var/lib/grafana/")


def _lost(before: Any, after: Any, where: str) -> Any:
    """Yield each place where something of `before` is not in `after`; the SDK may add its defaults."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from _lost(value, after[key], f"{where}.{key}") if key in after else (f"{where}.{key}",)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _lost(one, other, f"{where}[{place}]")
    elif before != after:
        yield f"{where}: {before!r} became {after!r}"
