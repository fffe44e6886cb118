"""What it takes to evaluate a big app: the first time, whenever a task changes, and every minute.

The event loop is free in between: the longest time for which it is not is shown, too. Processor time is what a machine
with other work can compare.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from benchmarks.fleet import pages, tasks_of
from benchmarks.processes import status_of
from benchmarks.report import milliseconds, show
from exporter.collector.inventory import Entry, Inventory
from exporter.config.model import App
from exporter.core.task import DIGEST_BYTES, DIGEST_GROUPS, Configuration, Task
from exporter.rules.engine import PolicyEngine
from exporter.rules.findings import FindingEvents
from exporter.rules.rule import CompiledRule, Rule, Severity, compile_rule
from exporter.rules.rule_files import default_rules
from exporter.rules.rule_set import RuleSet
from tests.support.monitored import AheadClock

KEY: Final = ("prod", "live")
TASKS: Final = 100_000
RULES: Final = 30
VARIETY: Final = 300
CHANGES: Final = 2000
HEARTBEAT_SECONDS: Final = 0.001
AIM_STALL_SECONDS: Final = 0.05


class Measured(Struct, frozen=True):
    """What one fleet took. Stalls are the longest times for which the event loop was not free."""

    configurations: int
    baseline_seconds: float
    baseline_cpu_seconds: float
    baseline_stall_seconds: float
    change_cpu_seconds: float  # of one changed task, until it is in the report
    minute_cpu_seconds: float  # of evaluating tasks again by rules about the time
    minute_stall_seconds: float
    bytes_of_a_task: float
    violations: int


def main() -> None:
    """Print the table."""
    measured = [asyncio.run(_measure(variety)) for variety in (VARIETY, TASKS)]
    show(
        f"{TASKS:,} tasks of one app, {RULES} rules",
        (
            "configurations",
            "first time",
            "CPU",
            "stall",
            "a change, CPU",
            "a minute, CPU",
            "stall",
            "memory",
            "violations",
        ),
        [
            (
                f"{each.configurations:,}",
                f"{each.baseline_seconds:.1f} s",
                f"{each.baseline_cpu_seconds:.1f} s",
                milliseconds(each.baseline_stall_seconds),
                f"{each.change_cpu_seconds * 1e6:,.0f} us",
                milliseconds(each.minute_cpu_seconds),
                milliseconds(each.minute_stall_seconds),
                f"{each.bytes_of_a_task:.0f} B",
                f"{each.violations:,}",
            )
            for each in measured
        ],
        note=(
            f"Aim: no stall of {AIM_STALL_SECONDS * 1e3:.0f} ms. Memory is that of a task's findings alone. One rule"
            " is about a task's age: it is what is evaluated each minute. One is about shared URLs."
        ),
    )


async def _measure(variety: int) -> Measured:
    clock = AheadClock()
    entries = list(_entries(variety))
    inventory = Inventory()
    policy = PolicyEngine(clock, events=FindingEvents(), changed=lambda _: None)
    policy.apply(RuleSet(_rules(), (), {}, 5, 2000), [(KEY, App(id=KEY[1]), inventory)])
    changes = inventory.restore(entries)
    gc.collect()
    resident_before = status_of("self", "VmRSS")

    async with _heartbeat() as stalls:
        began, cpu = time.perf_counter(), time.process_time()
        policy.collected(KEY, changes, baseline=True, available=True)
        await policy.settle()
        baseline_seconds, baseline_cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    gc.collect()
    memory = status_of("self", "VmRSS") - resident_before
    change_cpu_seconds = _change_some(policy, inventory, [entry.task for entry in entries[:CHANGES]])
    async with _heartbeat() as minute_stalls:
        clock.ahead_seconds += 60.0
        cpu = time.process_time()
        policy.tick()
        await policy.settle()
        minute_cpu_seconds = time.process_time() - cpu

    report = policy.app(KEY).report
    if report is None:
        raise RuntimeError("the app was not evaluated")
    return Measured(
        configurations=variety,
        baseline_seconds=baseline_seconds,
        baseline_cpu_seconds=baseline_cpu_seconds,
        baseline_stall_seconds=max(stalls),
        change_cpu_seconds=change_cpu_seconds,
        minute_cpu_seconds=minute_cpu_seconds,
        minute_stall_seconds=max(minute_stalls),
        bytes_of_a_task=1024 * memory / TASKS,
        violations=sum(rule.violations for rule in report.rules),
    )


def _change_some(policy: PolicyEngine, inventory: Inventory, tasks: Sequence[Task]) -> float:
    """Change tasks one by one; return the mean processor time until a change is in the report."""
    changes = []
    for number, task in enumerate(tasks):
        configuration = replace(task.configuration, region="Mars" if number % 2 else "EMAA-Saudi")
        changed = replace(task, row_digest=TASKS + number, configuration=configuration)
        changes.append(inventory.accept([Entry.of(changed, sent_at=1e9 + number)], now=time.time()))
    began = time.process_time()
    for each in changes:
        policy.collected(KEY, each, baseline=False, available=True)
    return (time.process_time() - began) / len(changes)


def _rules() -> tuple[CompiledRule, ...]:
    """Return the shipped rules, one about shared URLs among them, and two that are evaluated for each task."""
    of_each_task = [
        Rule(name="old", title="Old", severity=Severity.INFO, expect='age < duration("24h")'),
        Rule(name="named", title="Named", severity=Severity.INFO, expect='task_id.startsWith("task-")'),
    ]
    shipped = sorted(default_rules(), key=lambda rule: "shared_outputs" not in rule.when + rule.expect)
    chosen = [*shipped[: RULES - len(of_each_task)], *of_each_task]
    return tuple(compile_rule(rule) for rule in chosen)


def _entries(variety: int) -> Iterator[Entry]:
    """Yield tasks of `variety` configurations; one in a hundred pushes to the URL of another."""
    configurations = list(_configurations(variety))
    now = time.time()
    for number in range(TASKS):
        url = number - 1 if number % 100 == 1 else number
        configuration = configurations[number % variety]
        digests = bytes(DIGEST_BYTES * len(DIGEST_GROUPS)) + url.to_bytes(DIGEST_BYTES, "big")
        task = Task(f"task-{number}", f"channel-{number}", configuration, row_digest=number, digests=digests)
        yield Entry.of(task, first_seen=now - number, last_changed=now, sent_at=0.0)


def _configurations(variety: int) -> Iterator[Configuration]:
    """Yield distinct configurations, made from those of the simulated fleet."""
    known = list(dict.fromkeys(task.configuration for task in tasks_of(pages(1000))))
    for number in range(variety):
        yield replace(known[number % len(known)], idle_timeout_seconds=10 + number)


@asynccontextmanager
async def _heartbeat() -> AsyncIterator[Sequence[float]]:
    """Note by how much each of many short waits is late while the block runs."""
    stalls: list[float] = []

    async def beat() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(HEARTBEAT_SECONDS)
            stalls.append(time.perf_counter() - began - HEARTBEAT_SECONDS)

    beating = asyncio.create_task(beat())
    await asyncio.sleep(0)
    try:
        yield stalls
        await asyncio.sleep(2 * HEARTBEAT_SECONDS)
    finally:
        beating.cancel()
