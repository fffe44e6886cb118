"""Randomness that follows from a seed: a stream of its own for each purpose, so that none disturbs another."""

from random import Random


def seeded(seed: int, purpose: str) -> Random:
    """Return the random numbers of one purpose."""
    return Random(f"{seed}/{purpose}")  # noqa: S311 - a simulation repeats itself, and keeps no secrets
