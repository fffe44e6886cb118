"""What came of all rules for one task: a byte for each rule, so that most tasks share the same few bytes."""

from typing import Final

from exporter.policy.rule import Outcome

OUTCOMES: Final = tuple(Outcome)
"""By code."""

CODES: Final = {outcome: code for code, outcome in enumerate(OUTCOMES)}

PASS: Final = CODES[Outcome.PASS]
VIOLATION: Final = CODES[Outcome.VIOLATION]
NOT_APPLICABLE: Final = CODES[Outcome.NOT_APPLICABLE]
EXEMPT: Final = CODES[Outcome.EXEMPT]
ERROR: Final = CODES[Outcome.ERROR]
UNKNOWN: Final = len(OUTCOMES)
"""Nothing is known: the rule is new, or the task is not there."""

FROZEN: Final = UNKNOWN + 1
"""The rule is stopped: the outcome before stays. Never among the outcomes that are kept of a task."""

_AS_JUDGED: Final = bytes.maketrans(bytes([EXEMPT]), bytes([VIOLATION]))


def nothing_known(rules: int) -> bytes:
    """Return the outcomes of a task that was not judged."""
    return bytes([UNKNOWN]) * rules


def frozen_as(before: bytes, after: bytes) -> bytes:
    """Return the outcomes after, with those before where they are frozen; what was never evaluated is an error."""
    if FROZEN not in after:
        return after
    kept = (ERROR if old == UNKNOWN else old for old in before)
    return bytes(old if new == FROZEN else new for old, new in zip(kept, after, strict=True))


def without_exemptions(outcomes: bytes) -> bytes:
    """Return the outcomes as they were before exemptions were applied."""
    return outcomes.translate(_AS_JUDGED)
