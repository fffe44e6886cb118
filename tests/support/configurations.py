"""Configurations of the program for tests, as YAML."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from exporter.config.mistakes import ConfigError, Mistake
from exporter.simulator.simulation import ACCESS_KEY_ID, ACCESS_KEY_SECRET, ACCOUNTS

read_yaml: Callable[[str], Any] = partial(yaml.load, Loader=yaml.CSafeLoader)
"""Read YAML as `yaml.safe_load` does, in a tenth of its time."""

QUICK = "collection: {interval: 200ms, sweep_interval: 1s, stale_after: 60s}\n"
"""So that tests need not wait; data is withdrawn late, since the machine may have other things to do."""


def account(
    endpoint: str,
    apps: Sequence[str] = ("app-1",),
    *,
    name: str = "production",
    key_id: str = ACCESS_KEY_ID,
    key_secret: str = ACCESS_KEY_SECRET,
    more: str = "",
) -> str:
    """Return the entry of one account; `more` is a line of YAML."""
    return (
        f"- name: {name}\n"
        f"  endpoint: {endpoint}\n"
        f"  credentials: {{access_key_id: {key_id}, access_key_secret: {key_secret}}}\n"
        f"  apps: [{', '.join(f'{{id: {app}}}' for app in apps)}]\n"
        f"  {more}\n"
    )


def demo_accounts(endpoint: str, app_parts: str = "", *, more: str = "") -> list[str]:
    """Return the entries of the demonstration's accounts; `app_parts` are further keys of each app."""
    return [
        account(
            endpoint,
            [f"{app.id}{app_parts and ', '}{app_parts}" for app in each.apps],
            name=each.name,
            key_id=each.access_key_id,
            key_secret=each.access_key_secret,
            more=more,
        )
        for each in ACCOUNTS
    ]


def write_configuration(directory: Path, *accounts: str, name: str = "rtcmpu.yml", rest: str = QUICK) -> Path:
    """Write a configuration; return where it is."""
    path = directory / name
    path.write_text("accounts:\n" + "".join(accounts) + rest)
    return path


def mistakes_if_refused(read: Callable[[], object]) -> Sequence[Mistake]:
    """Return the mistakes for which something is refused, each a line of its own; none if it is accepted."""
    try:
        read()
    except ConfigError as error:
        refusal = error
    else:
        return ()
    assert refusal.mistakes
    assert str(refusal).count("\n") == len(refusal.mistakes) - 1
    return refusal.mistakes
