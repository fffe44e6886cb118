"""Runs `serve` with accounts that are broken in every known way, and tells of its tasks on SIGUSR1.

`python -m benchmarks.soak.served serve …`: while a file `troubles` is beside the configuration, broken accounts are a
part of it. `python -m benchmarks.soak.served places DIRECTORY` is where they go wrong; it writes that file's content.
"""

import asyncio
import json
import signal
import sys
from functools import cache
from pathlib import Path
from types import FrameType

import msgspec
import pytest

from exporter import cli
from exporter.config.model import Account
from exporter.rules import rule_loader
from exporter.rules.rule_loader import LoadedRules, load
from exporter.simulator.simulation import SimulatorOptions, build_service
from tests.faults import test_isolation as isolation
from tests.support.hostile import MAKERS, compressed_body
from tests.support.monitored import Simulated
from tests.support.virtual_time import hanging_call


def _tell(_number: int, _frame: FrameType | None) -> None:
    """Write a line to the log."""
    sys.stderr.write(f"tasks={len(asyncio.all_tasks())} blocks={sys.getallocatedblocks()}\n")
    sys.stderr.flush()


def _add_large_answers(patch: pytest.MonkeyPatch) -> None:
    """Let the odd server give large answers too."""
    large = {
        f"large-{name}": ("invalid_response", isolation._answer(compressed_body(name), Content_Encoding="gzip"))
        for name in MAKERS
    }
    patch.setattr(isolation, "ODD", {**isolation.ODD, **large})


@cache
def _accounts(written: str) -> tuple[Account, ...]:
    """Return the broken accounts, and one that is fine."""
    places = isolation.Places(*json.loads(written))
    places = places._replace(directory=Path(places.directory))
    service = Simulated(places.service, build_service(SimulatorOptions(apps=1, tasks=1)))
    ways = isolation.broken(places)
    return (
        *(isolation._account(name, what, service) for name, what in ways.items()),
        service.account("app-1", name="fine"),
    )


def _load(path: Path, environ: dict[str, str]) -> LoadedRules:
    """Load the configuration, with the broken accounts if there are troubles."""
    loaded = load(path, environ)
    try:
        accounts = _accounts((path.parent / "troubles").read_text())
    except FileNotFoundError:
        return loaded
    return msgspec.structs.replace(loaded, config=loaded.config.changed(accounts=(*loaded.config.accounts, *accounts)))


async def _serve_places(directory: Path) -> None:
    async with isolation._places(directory) as places:
        sys.stdout.write(f"places {json.dumps([*places[:-1], str(directory)])}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> int:
    """Run one of the two."""
    with pytest.MonkeyPatch.context() as patch, hanging_call(seconds=60) as hang:
        _add_large_answers(patch)
        if sys.argv[1] == "places":
            asyncio.run(_serve_places(Path(sys.argv[2])))
        isolation._break(patch, hang)
        patch.setattr(rule_loader, "load", _load)
        signal.signal(signal.SIGUSR1, _tell)
        return cli.main()


if __name__ == "__main__":
    sys.exit(main())
