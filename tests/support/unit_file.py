"""Reads files of systemd, and starts a program as confined as a unit would."""

import re
from pathlib import Path
from typing import Final

from tests.support.processes import ROOT

UNITS: Final = ROOT / "deploy" / "systemd"
SERVICE: Final = UNITS / "rtcmpu-exporter.service"
SOCKET: Final = UNITS / "rtcmpu-exporter.socket"
ENVIRONMENT: Final = UNITS / "rtcmpu-exporter.default"


def settings(path: Path) -> dict[str, list[str]]:
    """Return all values of each setting of a unit, in order, whatever section they are in."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def setting(path: Path, name: str) -> str:
    """Return the value of a setting that is there once."""
    (value,) = settings(path)[name]
    return value


def environment(path: Path) -> dict[str, str]:
    """Return the variables of an environment file."""
    return {name: value.strip('"') for name, value in re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE)}
