"""Reads the Compose stack, deploy/compose/docker-compose.yml, and lays out what its containers would see."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.support.configurations import read_yaml
from tests.support.processes import ROOT

COMPOSE_FILE: Final = ROOT / "deploy" / "compose" / "docker-compose.yml"
STACK: Final[dict[str, Any]] = read_yaml(COMPOSE_FILE.read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = STACK["services"]


class Mount(NamedTuple):
    """What a container sees at a path."""

    source: str  # a path, or the name of a volume
    target: str
    options: str

    @property
    def path(self) -> Path | None:
        """What is mounted; None: a volume."""
        return (COMPOSE_FILE.parent / self.source).resolve() if self.source.startswith(".") else None


def mounts(service: str) -> list[Mount]:
    """Return what a service mounts, in order."""
    found = []
    for text in SERVICES[service].get("volumes", ()):
        source, target, *options = text.split(":")
        found.append(Mount(source, target, ":".join(options)))
    return found


def published(service: str) -> dict[int, str]:
    """Return on which address of the host each port of a container is published."""
    ports = (text.rsplit(":", 1) for text in SERVICES[service].get("ports", ()))
    return {int(port): address for address, port in ports}


class Container:
    """A service's files as its container has them, below a directory; texts in them can be replaced.

    Args:
        service: Its name.
        directory: Where.
        replaced: What stands for something else, in files and in the command line; paths of the container become
            paths below the directory.
    """

    def __init__(self, service: str, directory: Path, replaced: Mapping[str, str]) -> None:
        self._root = directory / service
        self._replaced = dict(replaced)
        self._mounts = mounts(service)
        self._command: list[str] = SERVICES[service].get("command", [])
        for mount in self._mounts:
            target = self.path(mount.target)
            target.parent.mkdir(parents=True, exist_ok=True)
            if mount.path is None:
                target.mkdir(exist_ok=True)
            elif mount.path.is_dir():
                shutil.copytree(mount.path, target, dirs_exist_ok=True)
            else:
                shutil.copyfile(mount.path, target)
        for file in self._root.rglob("*.yml"):
            file.write_text(self._with_replacements(file.read_text()))

    def path(self, inside: str) -> Path:
        return self._root / inside.removeprefix("/")

    @property
    def command(self) -> list[str]:
        """The command line for programs that run here."""
        return [self._with_replacements(word) for word in self._command]

    def _with_replacements(self, text: str) -> str:
        targets = "|".join(re.escape(mount.target) for mount in self._mounts)
        if targets:
            text = re.sub(rf"(?<![\w/.-])({targets})\b", lambda found: str(self.path(found[1])), text)
        for old, new in self._replaced.items():
            text = text.replace(old, new)
        return text
