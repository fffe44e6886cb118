"""`python -m tests.deploy.audit_dependencies [URL]`: looks the locked packages up in a database of known weaknesses.

Ends with 1 where one is known. Where the database can't be reached it says that it did not run, and ends with 0: a
build without a network fails for what is wrong with the project, and for nothing else.
"""

import http.client
import json
import sys
import urllib.request
from collections.abc import Sequence
from typing import TextIO

from tests.support.locked import Pinned, locked

DATABASE = "https://api.osv.dev/v1/querybatch"
LOCKS = ("runtime.lock", "build.lock", "dev.lock", "actionlint.lock")
TIMEOUT_SECONDS = 20.0


def audit(packages: Sequence[Pinned], url: str, out: TextIO) -> bool:
    """Print what is known of some packages; return whether nothing is, which includes that nobody could be asked."""
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
        out.write(f"the audit of {len(packages)} packages DID NOT RUN: {url} gave no answer ({error})\n")
        return True
    weak = [
        (package, sorted(weakness["id"] for weakness in answer["vulns"]))
        for package, answer in zip(packages, answers, strict=True)
        if answer.get("vulns")
    ]
    out.writelines(f"{package.name} {package.version}: {', '.join(ids)}\n" for package, ids in weak)
    out.write(f"{len(packages)} packages looked up, {len(weak)} with known weaknesses\n")
    return not weak


def main() -> None:
    """Audit everything that is locked."""
    packages = {(package.name, package.version): package for name in LOCKS for package in locked(name)}
    url = sys.argv[1] if len(sys.argv) > 1 else DATABASE
    sys.exit(0 if audit([packages[key] for key in sorted(packages)], url, sys.stdout) else 1)


if __name__ == "__main__":
    main()
