"""Reads files of systemd, and starts a program as confined as a unit would.

`python -m tests.deploy.unit_file UNIT COMMAND …` limits system calls, address families and memory with the library that
systemd uses, so that no boot is needed.
"""

import ctypes
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable
from errno import EPERM
from pathlib import Path
from typing import Final

from tests.support.processes import ROOT

UNITS: Final = ROOT / "deploy" / "systemd"
SERVICE: Final = UNITS / "rtcmpu-exporter.service"
SOCKET: Final = UNITS / "rtcmpu-exporter.socket"
ENVIRONMENT: Final = UNITS / "rtcmpu-exporter.default"

_ALLOW: Final = 0x7FFF_0000
_REFUSE: Final = 0x0005_0000
_EQUAL: Final = 4
_SET_MEMORY_DENY_WRITE_EXECUTE: Final = 65


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


class _Comparison(ctypes.Structure):
    """libseccomp's `scmp_arg_cmp`."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("datum", ctypes.c_uint64),
        ("second_datum", ctypes.c_uint64),
    )


def allowed_calls(filters: Iterable[str]) -> set[str]:
    """Return the names of the system calls that the lines `SystemCallFilter=` of a unit leave, in their order."""
    allowed: set[str] = set()
    for line in filters:
        calls = {call for word in line.removeprefix("~").split() for call in _expanded(word)}
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    return allowed


def _expanded(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    done = subprocess.run(
        ["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True, timeout=30
    )
    lines = [line.strip() for line in done.stdout.splitlines()[1:]]
    return {call for line in lines if line and not line.startswith("#") for call in _expanded(line)}


def _confine(calls: Iterable[str], families: Iterable[str]) -> None:
    """Leave this process, and what it starts, these calls and families, and no memory to write and execute."""
    if ctypes.CDLL(None).prctl(_SET_MEMORY_DENY_WRITE_EXECUTE, 1, 0, 0, 0) != 0:
        raise SystemExit("this kernel can't forbid memory that is written and executed: it has to be 6.3 or newer")
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_REFUSE | EPERM)))
    number_of = library.seccomp_syscall_resolve_name

    def allow(call: str, *comparisons: _Comparison) -> None:
        number = number_of(call.encode())
        if number < 0:
            return  # another architecture's
        array = (_Comparison * len(comparisons))(*comparisons)
        if library.seccomp_rule_add_array(rules, ctypes.c_uint32(_ALLOW), number, len(comparisons), array) != 0:
            raise SystemExit(f"can't make a rule for {call}")

    for call in set(calls) - {"socket"}:
        allow(call)
    for family in families:
        allow("socket", _Comparison(0, _EQUAL, int(getattr(socket, family)), 0))
    if library.seccomp_load(rules) != 0:
        raise SystemExit("can't load the rules")


def main(unit: Path, command: list[str]) -> None:
    """Become a command, confined."""
    _confine(allowed_calls(settings(unit)["SystemCallFilter"]), setting(unit, "RestrictAddressFamilies").split())
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
