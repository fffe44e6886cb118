"""The reference of metrics as Markdown, `docs/metrics.md`: made from the declarations."""

from collections.abc import Iterable, Mapping
from typing import Final

from exporter.metrics.app_families import APP_FAMILIES, CHANGE_FAMILIES, POLICY_FAMILIES
from exporter.metrics.exporter_families import EXPORTER_FAMILIES, RULE_FAMILIES
from exporter.metrics.exposition import declarations
from exporter.metrics.family import Declaration, Label
from exporter.metrics.per_task_families import per_task_families
from exporter.metrics.task_families import TASK_FAMILIES

_INTRODUCTION: Final = """\
# Metrics

<!-- Made from the declarations in exporter/metrics by `make generate`: edit those. -->

`/metrics` serves OpenMetrics 1.0 or the text format 0.0.4, whichever the scraper prefers.

**Configuration, not stream health.** The service lists how tasks are configured, not whether a task runs or how its
stream is. No metric says that either.

**Unknown is absent, never 0.** While an app has no data, or its data is stale, the task families have no series for it,
and `rtcmpu_collection_data_available` is 0. The families about the collection are always present.

**Bits.** Bitrates are in bytes per second, as is usual in Prometheus: multiply by 8 for bits per second, and by
8 / 1000 for the kbit/s of the API.

**Distributions** are gauge histograms: they show how values are distributed over the current tasks. Use
`histogram_quantile()` on `_bucket` **without** `rate()`. `_gsum` is the sum of all values (of bitrates: the total
configured), `_gcount` the number of tasks with a readable value of at least 0. The text format has no such type; there
the buckets are a histogram and the other two gauges. `metrics.buckets` sets the bounds.

    histogram_quantile(0.9, sum by (le) (rtcmpu_task_video_bitrate_bytes_per_second_bucket)) * 8

**Stability** is at the beginning of each HELP text. `STABLE`: name, type and labels change only in a new major version.
`ALPHA`: they may change in any version; the changelog says so. All families are stable except those marked *alpha*.

The names below include the suffix of an *info* or a *counter*, but not those of a *gauge histogram*.
"""

_PER_TASK: Final = """\
`/metrics/tasks` serves these in the same formats if `metrics.per_task.enabled` is true; otherwise the path does not
exist. Scrape it as a separate target: no series is on both paths.

A task has 4 to 16 series; `metrics.per_task.max_series` limits all apps together. A hash of the TaskId selects the
tasks: the same ones after a restart and in every replica, mostly unaffected by other tasks.
`rtcmpu_exporter_series_omitted{path="/metrics/tasks"}` counts the series left out. Changes show within about a second;
the series are withdrawn with the app's other data when it becomes stale.

    rtcmpu_task_config_video_bitrate_bytes_per_second * 8
      * on (account, app_id, task_id) group_left (channel_id, resolution) rtcmpu_task_info
"""

_EXPECTATIONS: Final = """\
Once a rule was evaluated for all of an app's tasks, `rtcmpu_policy_violations` and the two counters have series for it,
starting at 0. The other families have series only where they are not 0. Only `rtcmpu_policy_rule_info` has titles,
owners and runbooks:

    sum by (rule) (rtcmpu_policy_violations{severity!="info"})
      * on (rule) group_left (title, rule_owner, runbook_url) rtcmpu_policy_rule_info

The gauges are withdrawn with the app's other data when it becomes stale, and return with it; violations keep their age.
So a series that ends is not a resolved violation: check `rtcmpu_collection_data_available`. The counters are always
present. Messages about single tasks are not labels: see `/api/v1/violations`.
"""

_OF_APPS: Final = "All of these also have the labels `account` and `app_id`.\n"

_PROCESS: Final = """\
`process_*` (memory, CPU, file descriptors, start time; on Linux) and `python_*` (garbage collection, version) come
from the official Python client and follow its conventions. These and `rtcmpu_exporter_*` are up to a second old.
"""


def metrics_markdown() -> str:
    """Return the whole reference."""
    groups: Mapping[str, tuple[Declaration, ...]] = {
        "About the collection of each app": APP_FAMILIES,
        "About the tasks of each app": TASK_FAMILIES,
        "About changes": CHANGE_FAMILIES,
    }
    parts = [_INTRODUCTION]
    for title, group in groups.items():
        parts += (f"## {title}\n", _OF_APPS, _families_table(group, of_apps=True))
    parts += ("## About rules\n", _EXPECTATIONS, _OF_APPS, _families_table(POLICY_FAMILIES, of_apps=True))
    parts += ("Without `account` and `app_id`:\n", _families_table(RULE_FAMILIES))
    parts += ("## About the exporter itself\n", _families_table(EXPORTER_FAMILIES))
    parts.append(_PROCESS)
    parts += (
        "## About single tasks: `/metrics/tasks`\n",
        _PER_TASK,
        _OF_APPS,
        _families_table(per_task_families(), of_apps=True),
    )
    parts += ("## Labels\n", _labels_table(declarations()))
    return "\n".join(parts)


def _families_table(declarations: Iterable[Declaration], *, of_apps: bool = False) -> str:
    """Return a row for each family; `of_apps` leaves out the labels `account` and `app_id`, which all of them have."""
    rows = ["| family | type | labels | means |", "| --- | --- | --- | --- |"]
    for declaration in declarations:
        kind: str = "gauge histogram" if declaration.kind == "gaugehistogram" else declaration.kind
        if declaration.stability != "stable":
            kind += f", *{declaration.stability}*"
        labels = declaration.labels[2:] if of_apps else declaration.labels
        means = f"{declaration.help} {declaration.note}".strip()
        rows.append(f"| `{declaration.name}` | {kind} | {_spelled(label.name for label in labels)} | {_cell(means)} |")
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
