"""Reading lists and services that mislead: each of them at budgets of 1, 4 and 40 requests a second.

`python -m benchmarks.enemies --seeds 20 --first-seed 1000` takes other seeds, `--only TEXT` some of them. Every broken
law is printed with its budget and seed.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from statistics import fmean
from typing import NamedTuple

from benchmarks.report import show
from tests.support.list_enemies import BUDGETS, ENEMIES, Findings, observe

NOTE = (
    "gone alive: existing tasks that were reported removed; wrong ok: looks, one each second, at a wrong set of tasks "
    "whose state was ok; ok: of all looks after the first sweep; at 1/s: requests of an accepted sweep"
)


class Run(NamedTuple):
    """One simulation."""

    name: str
    requests_per_second: int
    seed: int


def main(*, seeds: Iterable[int] = range(1, 3), only: str = "") -> int:
    """Print the table and each broken law; return how many runs broke one."""
    seeds = tuple(seeds)
    names = [name for name in ENEMIES if only in name]
    runs = [Run(*run) for run in product(names, BUDGETS, seeds)]
    with ProcessPoolExecutor(max_workers=2) as pool:
        found = dict(zip(runs, pool.map(_observed, runs, chunksize=4), strict=True))
    columns = ("", "runs", "broken", "gone alive", "wrong ok", "ok", *(f"at {each}/s" for each in BUDGETS))
    show("Ours, and what misleads it", columns, _rows(names, found), note=NOTE)
    broken = {run: findings.broken for run, findings in found.items() if findings.broken}
    for run, laws in broken.items():
        sys.stdout.write(f"{run.name}, {run.requests_per_second} requests/s, seed {run.seed}: {'; '.join(laws)}\n")
    sys.stdout.write(f"{len(runs)} runs, {len(broken)} broke a law\n")
    return len(broken)


def _rows(names: Iterable[str], found: dict[Run, Findings]) -> Iterator[tuple[object, ...]]:
    for name in names:
        its_own = {run: findings for run, findings in found.items() if run.name == name}
        results = its_own.values()
        yield (
            name,
            len(its_own),
            sum(bool(result.broken) for result in results),
            sum(result.gone_alive for result in results),
            sum(result.wrong_ok for result in results),
            f"{fmean(result.ok_percent for result in results):.0f} %",
            *(
                f"{fmean(result.requests_per_sweep for run, result in its_own.items() if run[1] == budget):.1f}"
                for budget in BUDGETS
            ),
        )


def _observed(run: Run) -> Findings:
    return observe(ENEMIES[run.name], run.requests_per_second, run.seed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Reading lists and services that mislead, simulated.")
    parser.add_argument("--seeds", type=int, default=2, help="how many (default %(default)s)")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--only", default="", metavar="TEXT", help="those whose name contains it")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    raise SystemExit(bool(main(seeds=seeds, only=options.only)))
