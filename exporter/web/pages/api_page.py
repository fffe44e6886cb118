"""`/api/v1/`: the OpenAPI document for people, with an example of each path."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from exporter.web.responses import json_text
from exporter.web.view import View


def shown_api(view: View, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the template's values; links lead to an app and a task that exist, if there are any."""
    names = _names(view)
    introduction, _, notes = document["info"]["description"].partition("\n\n")
    return {
        "introduction": introduction,
        "notes": [note.replace("\n  ", " ") for note in notes.strip().removeprefix("- ").split("\n- ")],
        "paths": [_path(path, methods["get"], names) for path, methods in document["paths"].items()],
    }


def _path(path: str, operation: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    in_path = {one["name"]: one["example"] for one in operation["parameters"] if one["in"] == "path"}
    link = path.format(**{name: quote(names.get(name, example), safe="") for name, example in in_path.items()})
    has_limit = any(one["name"] == "limit" for one in operation["parameters"])
    example = operation["responses"]["200"]["content"]["application/json"].get("example")
    return {
        "path": path,
        "operation": operation,
        "link": f"{link}?limit=5" if has_limit else link,
        "example": None if example is None else json_text(example, indent=2),
    }


def _names(view: View) -> Mapping[str, str]:
    for app in view.statuses():
        tasks = view.tasks(app.status.account, app.status.app_id)
        if tasks is not None and tasks.entries:
            names = {"account": app.status.account, "app_id": app.status.app_id}
            return names | {"task_id": tasks.entries[0].task_id}
    return {}
