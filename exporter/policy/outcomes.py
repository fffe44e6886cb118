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

_AS_JUDGED: Final = bytes.maketrans(bytes([EXEMPT]), bytes([VIOLATION]))


def nothing_known(rules: int) -> bytes:
    """Return the outcomes of a task that was not judged."""
    return bytes([UNKNOWN]) * rules


def without_exemptions(outcomes: bytes) -> bytes:
    """Return the outcomes as they were before exemptions were applied."""
    return outcomes.translate(_AS_JUDGED)
