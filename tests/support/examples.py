"""How many examples hypothesis takes."""

import os
from typing import Final

IN_CI: Final = os.environ.get("CI") == "true"


def examples(in_ci: int) -> int:
    """Return how many examples a property is tried with: all in CI, a fifth elsewhere."""
    return in_ci if IN_CI else in_ci // 5
