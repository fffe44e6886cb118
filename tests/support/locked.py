"""What a lock file pins."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

REQUIREMENTS = Path(__file__).parent.parent.parent / "requirements"


class Pinned(NamedTuple):
    """One requirement of a lock file."""

    name: str  # as the index normalises it: lower case, `-` between words
    version: str  # empty where it is not pinned to one
    hashes: Sequence[str]


def locked(name: str) -> list[Pinned]:
    """Return all requirements of a lock file, whatever they look like."""
    text = (REQUIREMENTS / name).read_text().replace("\\\n", " ")
    lines = (line.strip() for line in text.splitlines())
    return [_pinned(line) for line in lines if line and not line.startswith("#")]


def normalised(name: str) -> str:
    """Return a package's name as the index writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _pinned(line: str) -> Pinned:
    """Take a requirement apart."""
    requirement = line.partition("--hash")[0].partition(";")[0].strip()
    name, _, version = requirement.partition("==")
    is_one_version = re.fullmatch(r"[0-9][0-9A-Za-z.+!-]*", version) is not None
    return Pinned(normalised(name.strip()), version if is_one_version else "", re.findall(r"--hash=(\S+)", line))
