"""The shipped rules as Prometheus reads them, and which metrics they may ask for."""

from typing import Any, Final

import yaml

from exporter.metrics.catalogue import declarations

FROM_ELSEWHERE: Final = {"up", "scrape_duration_seconds", "process_start_time_seconds"}
"""What Prometheus itself or the official client publishes."""


def rules(text: str) -> list[dict[str, Any]]:
    """Return all rules of a file in their order."""
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def exported() -> dict[str, set[str]]:
    """Return the labels of every metric that the exporter publishes, a histogram's by its samples."""
    found = {}
    for declaration in declarations():
        labels = set(declaration.label_names)
        suffixes = {"histogram": ("_bucket", "_sum", "_count"), "gaugehistogram": ("_bucket", "_gsum", "_gcount")}
        for suffix in suffixes.get(declaration.kind, ("",)):
            found[declaration.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return found
