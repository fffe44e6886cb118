"""`python -m benchmarks [NAME ...]`: runs the named benchmarks, or all of them, and prints what each measured."""

import argparse
import importlib
import sys

BENCHMARKS = {
    "decode": "a page of 100 tasks, against json and dataclasses",
    "sweep": "CPU of one sweep, against the official SDK",
    "scrape": "time of a scrape, against pushgateway, node_exporter and prometheus_client",
    "dashboards": "samples and time that the dashboards' queries cost a Prometheus, with 300 apps",
    "load": "a scrape beside 50 scrapers and 200 slow clients, and what collection loses by them",
    "steady": "CPU of one account, and of ten, at 50 pages a second over TLS",
    "memory": "memory of the process by number of tasks, and after each task has changed",
    "million": "memory of the process with 1,000,000 tasks",
    "storage": "reading, writing and starting with a million changes",
    "storing": "a scrape while the database is written",
    "retention": "a year of changes in the database, of which 90 days are kept",
    "apply": "what a change costs between the list and the scrape",
    "limiter": "how much of the rate limiters use, and how much of that is refused",
    "policy": "evaluating 100,000 tasks by 30 rules: the first time, a change, each minute",
    "moving_list": "what different ways to read a moving list miss",
    "enemies": "lists and services that mislead a reading, at 1, 4 and 40 requests/s",
}


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the exporter.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    options = parser.parse_args()
    if unknown := set(options.names) - BENCHMARKS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: expected {', '.join(BENCHMARKS)}")
    if options.list:
        sys.stdout.write("".join(f"{name:<12} {what}\n" for name, what in BENCHMARKS.items()))
        return
    for name in options.names or BENCHMARKS:
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
