"""`python -m benchmarks.soak [--minutes N]`: minutes of faults and churn, after which nothing may be left over.

`python -m benchmarks.soak limiter`: the limiter over one real minute on loopback.
"""

import argparse
import sys

from benchmarks.soak.limiter import run as run_limiter
from benchmarks.soak.mixture import run as run_mixture


def main() -> None:
    """Run what the command line names; exit with 1 where something is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="Run the exporter for minutes.")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="mixture (faults and churn) or limiter (one real minute on loopback); both if left out",
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="of the mixture")
    options = parser.parse_args()
    if unknown := set(options.names) - {"mixture", "limiter"}:
        parser.error(f"{', '.join(sorted(unknown))}: expected mixture, limiter")
    names = options.names or ["mixture", "limiter"]
    fine = [run_mixture(options.minutes)] if "mixture" in names else []
    fine += [run_limiter()] if "limiter" in names else []
    sys.exit(0 if all(fine) else 1)


if __name__ == "__main__":
    main()
