"""Which requests go wrong: faults by name, each for a share of the requests, a number of them, or until it is cleared.

What a fault does to the answer stands in `broken_answers.py`.
"""

from random import Random
from typing import Literal

from msgspec import Struct

from exporter.simulator.broken_answers import FAULTS
from exporter.simulator.listing import Parameters


class Fault(Struct, forbid_unknown_fields=True):
    """One fault that is switched on, and the requests that it may hit."""

    name: str
    rate: float = 1.0
    """The share of the matching requests that it hits."""
    count: int | None = None
    """How many more times it hits; None: until it is cleared."""
    app_id: str | None = None
    kind: Literal["page", "look_up"] | None = None
    page_no: int | None = None

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise ValueError(f"unknown fault {self.name!r}; there are: {', '.join(FAULTS)}")
        if not 0 <= self.rate <= 1:
            raise ValueError(f"the rate of fault {self.name} is {self.rate}, expected 0 to 1")

    def matches(self, parameters: Parameters) -> bool:
        """Whether it may hit this request."""
        return (
            self.app_id in {None, parameters.app_id}
            and self.kind in {None, parameters.kind}
            and self.page_no in {None, parameters.page_no}
            and self.count != 0
        )


class Faults:
    """The faults that are switched on, tried in the order in which they were added."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.active: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Switch a fault on."""
        self.active.append(fault)

    def clear(self, name: str | None = None) -> None:
        """Switch off all faults, or those of one name."""
        self.active = [fault for fault in self.active if name is not None and fault.name != name]

    def hit(self, parameters: Parameters) -> str | None:
        """Return the name of the fault that hits this request, if any, and count it."""
        for fault in self.active:
            if fault.matches(parameters) and (fault.rate >= 1 or self._random.random() < fault.rate):
                if fault.count is not None:
                    fault.count -= 1
                return fault.name
        return None
