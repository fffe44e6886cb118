"""Reading stays exact, whatever misleads it.

Each list or service is read at one of the budgets; `python -m benchmarks.enemies` takes all of them, and other seeds.
"""

from itertools import cycle
from typing import Final

import pytest

from tests.support.list_enemies import BUDGETS, ENEMIES, observe

pytestmark = pytest.mark.simulations

SEED: Final = 3


@pytest.mark.parametrize(("name", "requests_per_second"), list(zip(ENEMIES, cycle(BUDGETS), strict=False)))
def test_what_misleads_a_reading_breaks_no_law(name: str, requests_per_second: int) -> None:
    """No existing task is reported removed, no wrong set of tasks is `ok`, and what was deleted goes."""
    assert observe(ENEMIES[name], requests_per_second, SEED).broken == []
