"""Memory of a real `serve` process that shows 1,000,000 tasks, against one with hardly any."""

from benchmarks.memory import footprint, show_footprints

TASK_COUNTS = (100, 1_000_000)


def main() -> None:
    """Print the table."""
    show_footprints([footprint(tasks, age=False) for tasks in TASK_COUNTS])
