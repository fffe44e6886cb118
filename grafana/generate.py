"""Makes the dashboards' files from the modules in `dashboards`."""

import json
from collections.abc import Mapping
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.dashboards.app import app
from grafana.dashboards.expectations import expectations
from grafana.dashboards.exporter import exporter
from grafana.dashboards.overview import overview

DIRECTORY: Final = "grafana"


def dashboards() -> tuple[Dashboard, ...]:
    """Return all dashboards in the order in which people meet them."""
    return (overview(), app(), expectations(), exporter())


def dashboard_files() -> Mapping[str, str]:
    """Return each dashboard's file by its path from the root: its text is what Grafana imports."""
    return {f"{DIRECTORY}/{dashboard.uid}.json": _text(dashboard) for dashboard in dashboards()}


def _text(dashboard: Dashboard) -> str:
    contents = json.loads(json.dumps(dashboard, cls=JSONEncoder))
    for link in contents["links"]:
        # The SDK always puts links into a menu of newer Grafana; the way to the sibling dashboards is to be seen.
        del link["placement"]
    return json.dumps(contents, indent=2, ensure_ascii=False) + "\n"
