"""`python -m tests.deploy.audit_dependencies [URL]`: looks the locked packages up in a database of known weaknesses.

Ends with 1 if one is known, and with 75 if the database gives no answer: `.ci/run` then reports that the audit did not
run. A build without a network fails for what is wrong with the project, and for nothing else.
"""

import http.client
import json
import os
import re
import sys
import urllib.request
from collections.abc import Sequence
from typing import NamedTuple, TextIO

from tests.support.processes import ROOT

DATABASE = "https://api.osv.dev/v1/querybatch"
LOCKS = ("runtime.lock", "build.lock", "dev.lock", "actionlint.lock")
TIMEOUT_SECONDS = 20.0


class Pinned(NamedTuple):
    """One requirement of a lock file."""

    name: str  # as the index normalises it: lower case, `-` between words
    version: str  # empty where it is not pinned to one
    hashes: Sequence[str]


def locked(name: str) -> list[Pinned]:
    """Return all requirements of a lock file, whatever they look like."""
    text = (ROOT / "requirements" / name).read_text().replace("\\\n", " ")
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


def audit(packages: Sequence[Pinned], url: str, out: TextIO) -> int:
    """Print the known weaknesses of some packages; return the exit code."""
    question = {
        "queries": [
            {"package": {"name": package.name, "ecosystem": "PyPI"}, "version": package.version} for package in packages
        ]
    }
    request = urllib.request.Request(  # noqa: S310 - the address is ours or the caller's
        url, json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            answers = json.load(response)["results"]
    except (OSError, http.client.HTTPException, ValueError, LookupError) as error:
        out.write(f"the audit of {len(packages)} packages did not run: {url} gave no answer ({error})\n")
        return os.EX_TEMPFAIL
    weak = [
        (package, sorted(weakness["id"] for weakness in answer["vulns"]))
        for package, answer in zip(packages, answers, strict=True)
        if answer.get("vulns")
    ]
    out.writelines(f"{package.name} {package.version}: {', '.join(ids)}\n" for package, ids in weak)
    out.write(f"{len(packages)} packages looked up, {len(weak)} with known weaknesses\n")
    return int(bool(weak))


def main() -> None:
    """Audit everything that is locked."""
    packages = {(package.name, package.version): package for name in LOCKS for package in locked(name)}
    url = sys.argv[1] if len(sys.argv) > 1 else DATABASE
    sys.exit(audit([packages[key] for key in sorted(packages)], url, sys.stdout))


if __name__ == "__main__":
    main()
