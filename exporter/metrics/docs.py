"""The reference of all metrics as Markdown, made from the declarations."""

from collections.abc import Iterable, Mapping
from typing import Final

from exporter.metrics.app_families import app_families
from exporter.metrics.catalogue import declarations
from exporter.metrics.change_families import change_families
from exporter.metrics.exporter_families import EXPORTER_FAMILIES
from exporter.metrics.family import Declaration, Label
from exporter.metrics.per_task_families import per_task_families
from exporter.metrics.policy_families import policy_families
from exporter.metrics.rule_metrics import RULE_FAMILIES
from exporter.metrics.task_families import task_families

_INTRODUCTION: Final = """\
# Metrics

<!-- Made from the declarations in exporter/metrics by `make generate`: edit those. -->

What `/metrics` serves, as OpenMetrics 1.0 or in the text format 0.0.4, whichever the scraper likes better.

**Configuration, not stream health.** The service lists how tasks are configured. It says neither whether a task runs
nor how its stream is. No metric here does either.

**Unknown is absent, never 0.** While there is no data about an app, or what there is has become too old, the families
about its tasks have no series, and `rtcmpu_collection_data_available` is 0. What is said about the collection itself
is always there.

**Bits.** Bitrates are in bytes per second, as all of Prometheus's units: multiply by 8 for bits per second, and by
8 / 1000 for the kbit/s of the service.

**Distributions** are gauge histograms: they show how values are spread over the tasks of now. Use
`histogram_quantile()` on `_bucket` **without** `rate()`; `_gsum` is the sum of all values (of bitrates: the total
configured) and `_gcount` the number of tasks that have a readable one, not below 0. In the text format, where this
type does not exist, the buckets are announced as a histogram and the other two as gauges. The bounds can be
configured.

    histogram_quantile(0.9, sum by (le) (rtcmpu_task_video_bitrate_bytes_per_second_bucket)) * 8

**Stability** stands at the beginning of each HELP text. `STABLE`: name, type and labels change only with a new major
version. `ALPHA`: they may change with any version; the changelog says so.

An *info* and a *counter* are named here as their samples are; a *gauge histogram* without its suffixes.
"""

_PER_TASK: Final = """\
What `/metrics/tasks` serves, in the same formats, while the configuration says `metrics.per_task.enabled: true`; else
the path does not exist. It is to be scraped beside `/metrics`, as a target of its own: no series stands on both.

A task has 4 to 16 series. There are no more than `metrics.per_task.max_series` over all apps: the tasks that have room
are chosen by a hash of their TaskId, so they are the same ones after a restart and in every replica, and hardly change
when other tasks come and go. `rtcmpu_exporter_series_omitted{path="/metrics/tasks"}` counts the series left out. They
are published within about a second of a change, and withdrawn with the app's other data when it becomes
too old.

    rtcmpu_task_config_video_bitrate_bytes_per_second * 8
      * on (account, app_id, task_id) group_left (channel_id, resolution) rtcmpu_task_info
"""

_EXPECTATIONS: Final = """\
Each rule that applies to an app has series of `rtcmpu_policy_violations` and of the two counters as soon as it
was evaluated for all of the app's tasks, from 0 on; the other families have a series only where they are not 0.
Titles, owners and runbooks are on `rtcmpu_policy_rule_info` alone:

    sum by (rule) (rtcmpu_policy_violations{severity!="info"})
      * on (rule) group_left (title, rule_owner, runbook_url) rtcmpu_policy_rule_info

The gauges are withdrawn with the app's other data when it becomes too old; findings wait inside and come back with it.
So the end of a series is not the end of a violation: `rtcmpu_collection_data_available` tells them apart. The counters
are always there. What a rule says about one task is no label: `/api/v1/violations` has it.
"""

_PROCESS: Final = """\
`process_*` (memory, CPU, file descriptors, start time; on Linux) and `python_*` (garbage collection, version) come
from the official Python client and follow its conventions.
"""


def metrics_markdown() -> str:
    """Return the whole reference."""
    groups: Mapping[str, tuple[Declaration, ...]] = {
        "About the collection of each app": app_families(),
        "About the tasks of each app": task_families(),
        "About changes": change_families(),
    }
    parts = [_INTRODUCTION]
    for title, group in groups.items():
        parts += (f"## {title}\n", _families_table(group))
    parts += ("## About expectations\n", _EXPECTATIONS, _families_table((*policy_families(), *RULE_FAMILIES)))
    parts += ("## About the exporter itself\n", _families_table(EXPORTER_FAMILIES))
    parts.append(_PROCESS)
    parts += ("## About single tasks: `/metrics/tasks`\n", _PER_TASK, _families_table(per_task_families()))
    parts += ("## Labels\n", _labels_table(declarations()))
    return "\n".join(parts)


def _families_table(declarations: Iterable[Declaration]) -> str:
    """Return a row for each family."""
    rows = ["| family | type | labels | means | stability |", "| --- | --- | --- | --- | --- |"]
    for declaration in declarations:
        kind = "gauge histogram" if declaration.kind == "gaugehistogram" else declaration.kind
        names = ", ".join(f"`{name}`" for name in declaration.label_names)
        means = f"{declaration.help} {declaration.note}".strip()
        rows.append(f"| `{declaration.name}` | {kind} | {names} | {_cell(means)} | {declaration.stability} |")
    return "\n".join(rows) + "\n"


def _labels_table(declarations: Iterable[Declaration]) -> str:
    """Return a row for each label; one that differs between families has a row for each of its meanings."""
    users: dict[Label, list[str]] = {}
    for declaration in declarations:
        for label in declaration.labels:
            users.setdefault(label, []).append(declaration.name)
    ambiguous = {label.name for label in users if sum(other.name == label.name for other in users) > 1}
    rows = ["| label | values | means |", "| --- | --- | --- |"]
    for label in sorted(users, key=lambda label: label.name):
        where = f" of {_spelled(users[label])}" if label.name in ambiguous and len(users[label]) == 1 else ""
        values = _spelled(label.values) if label.values else "any"
        rows.append(f"| `{label.name}`{where} | {values} | {_cell(label.meaning)} |")
    return "\n".join(rows) + "\n"


def _spelled(names: Iterable[str]) -> str:
    """Return names as code."""
    return ", ".join(f"`{name}`" for name in names)


def _cell(text: str) -> str:
    """Return text that does not end a table's cell."""
    return text.replace("|", "\\|")
