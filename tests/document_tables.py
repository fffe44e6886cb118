"""The computed tables of documents: `make generate` writes them between their markers, and nothing else of the file."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

from exporter.config.capacity import STANDARD_QUOTA, USABLE_SHARE, GroupLoad, pace_of, sweep_requests_of
from exporter.config.model import (
    DEFAULT_REQUESTS_PER_SECOND,
    Account,
    App,
    Collection,
    Metrics,
    Sharing,
    Storage,
)
from exporter.config.policy_model import Expect, Policy
from exporter.config.value_types import format_duration
from exporter.metrics.app_families import APP_FAMILIES, CHANGE_FAMILIES, POLICY_FAMILIES
from exporter.metrics.exposition import declarations
from exporter.metrics.per_task_families import per_task_families
from exporter.metrics.self_metrics import EXPORTER_FAMILIES, RULE_FAMILIES
from exporter.metrics.task_families import TASK_FAMILIES
from exporter.rules.rule_files import default_rules, profile_rules
from tests.references.reference_tables import (
    credentials_list,
    families_list,
    keys_list,
    labels_list,
    rules_list,
    table,
    variables_list,
)

DOCUMENTS: Final = tuple(f"docs/{name}.md" for name in ("configuration", "metrics", "rules", "scaling"))
_TABLE: Final = re.compile(
    r"(?P<begin><!-- (?P<name>[a-z-]+): computed by `make generate` -->\n).*?(?P<end><!-- end -->\n)", re.DOTALL
)
_LARGEST_BUDGET: Final = 50
_SIZES: Final = (
    (20, STANDARD_QUOTA),
    (100, STANDARD_QUOTA),
    (400, STANDARD_QUOTA),
    (1000, STANDARD_QUOTA),
    (10, 20_000),
    (1, 200_000),
)
"""Numbers of apps, and of tasks in each: as many apps as teams have, and as many tasks as few have."""
_INTERVALS: Final = ((2, 60), (5, 120), (10, 300), (60, 1800))
_BUDGETS: Final = (2, 5, 10, 20, 40, _LARGEST_BUDGET)


def documents_with_tables(root: Path) -> Mapping[str, str]:
    """Return each document that has computed tables, by its path from `root`, with the tables as they should be."""
    return {name: with_tables((root / name).read_text(encoding="utf-8")) for name in DOCUMENTS}


def with_tables(text: str) -> str:
    """Return a document with what is between its markers computed again; raises KeyError if a marker names no table."""
    return _TABLE.sub(lambda found: f"{found['begin']}{TABLES[found['name']]()}{found['end']}", text)


def _needs_by_default() -> str:
    """Return what apps of several sizes need of the default budget at the default intervals."""
    columns = ("apps", "tasks in each", "requests/s", "stretched", "interval", "sweeps", "all read in")
    rows = []
    for apps, tasks in _SIZES:
        pace = _pace(apps, tasks, DEFAULT_REQUESTS_PER_SECOND, Collection())
        rows.append(
            (
                f"{apps:,}",
                f"{tasks:,}",
                f"{pace.update_requests_per_second + pace.sweep_requests_per_second:.2f}",
                f"{pace.stretch_ratio:.2f} x" if pace.stretch_ratio > 1 else "no",
                _rounded(pace.interval_seconds),
                _rounded(pace.sweep_interval_seconds),
                _rounded(pace.sweep_duration_seconds),
            )
        )
    return table(columns, rows)


def _apps_within_budgets() -> str:
    """Return how many apps at the vendor's usual quota each budget carries without stretching, by intervals."""
    columns = ("`interval`", "`sweep_interval`", *(f"{budget}/s" for budget in _BUDGETS))
    rows = []
    for interval, sweep_interval in _INTERVALS:
        one_app = 1 / interval + sweep_requests_of(STANDARD_QUOTA) / sweep_interval
        most = (f"{int(USABLE_SHARE * budget / one_app + 1e-9):,}" for budget in _BUDGETS)
        rows.append((f"`{format_duration(interval)}`", f"`{format_duration(sweep_interval)}`", *most))
    return table(columns, rows)


def _pace(apps: int, tasks: int, budget: float, collection: Collection) -> GroupLoad:
    requests = apps * sweep_requests_of(tasks)
    return pace_of(apps=apps, sweep_requests=requests, requests_per_second=budget, collection=collection)


def _rounded(seconds: float) -> str:
    return "under 1s" if seconds < 1 else format_duration(round(seconds))


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "needs-by-default": _needs_by_default,
    "apps-within-budgets": _apps_within_budgets,
    "families-of-collection": partial(families_list, APP_FAMILIES),
    "families-of-tasks": partial(families_list, TASK_FAMILIES),
    "families-of-changes": partial(families_list, CHANGE_FAMILIES),
    "families-of-rules": partial(families_list, POLICY_FAMILIES),
    "families-of-rules-without-app": partial(families_list, RULE_FAMILIES, of_apps=False),
    "families-of-the-exporter": partial(families_list, EXPORTER_FAMILIES, of_apps=False),
    "families-of-single-tasks": lambda: families_list(per_task_families()),
    "labels": lambda: labels_list(declarations()),
    "variables": variables_list,
    "default-rules": lambda: rules_list(default_rules()),
    "rules-of-profiles": lambda: rules_list(chain.from_iterable(profile_rules().values())),
    "keys-of-accounts": partial(keys_list, Account),
    "keys-of-apps": partial(keys_list, App),
    "keys-of-expect": partial(keys_list, Expect),
    "keys-of-collection": partial(keys_list, Collection),
    "keys-of-policy": partial(keys_list, Policy),
    "keys-of-storage": partial(keys_list, Storage),
    "keys-of-sharing": partial(keys_list, Sharing),
    "keys-of-metrics": partial(keys_list, Metrics),
    "keys-of-credentials": credentials_list,
}
"""By name in the markers."""
