"""What happens to the tasks while they are read: events at a rate, and bursts.

Events are due at moments that follow from the seed alone and happen when time is advanced past them, so that a
simulated clock and a real one see the same fleet.
"""

from random import Random
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from exporter.simulator.fleet import Fleet, FleetRow
from exporter.simulator.task_maker import TaskMaker

_PerSecond = Annotated[float, Meta(ge=0)]

Burst = Literal["update", "delete", "create", "replace", "resave_newest"]


MIXED_AMONG_SINGLE: Final = 0.15
"""This many of the tasks that are created like a single-stream one are mixed: nobody is always right."""


class Rates(Struct, frozen=True, forbid_unknown_fields=True):
    """Events per second over the whole fleet, spread over the apps by their numbers of tasks."""

    update: _PerSecond = 0.0
    create: _PerSecond = 0.0
    delete: _PerSecond = 0.0
    resave: _PerSecond = 0.0  # saved again without a change

    @classmethod
    def mixture(cls, events_per_second: float) -> "Rates":
        """Return the mixture of a usual day: 60 % updates, 15 % creations, 15 % deletions, 10 % saved again."""
        total = events_per_second
        return cls(update=0.6 * total, create=0.15 * total, delete=0.15 * total, resave=0.1 * total)

    @property
    def total(self) -> float:
        """All events per second."""
        return self.update + self.create + self.delete + self.resave


class Churn:
    """Changes a fleet."""

    def __init__(self, fleet: Fleet, random: Random, now: float) -> None:
        self._fleet = fleet
        self._random = random
        self._maker = TaskMaker(random)
        self._rates = Rates()
        self._next_at = now

    @property
    def rates(self) -> Rates:
        """The rates that are set."""
        return self._rates

    def set_rates(self, rates: Rates, now: float) -> None:
        """Let events happen at other rates from `now` on; all zero ends them."""
        self.advance(now)
        self._rates = rates
        self._next_at = now + self._gap()

    def advance(self, now: float) -> None:
        """Let everything happen that is due until `now`, each at its own time."""
        while self._rates.total > 0 and self._next_at <= now:
            self._one_event(self._next_at)
            self._next_at += self._gap()

    def burst(self, kind: Burst, app_id: str, count: int, now: float) -> None:
        """Let `count` events happen in one app; `replace` deletes as many as it creates.

        Raises:
            KeyError: There is no such app.
        """
        order = self._fleet.apps[app_id].order
        if kind == "resave_newest":
            for row in reversed(order[:count]):
                if not row.stopped:
                    self._fleet.resave(app_id, row.task_id, at=now)
            return
        if kind in {"update", "delete", "replace"}:
            rows = [row for row in order if not row.stopped]
            for row in self._random.sample(rows, min(count, len(rows))):
                if kind == "update":
                    self._update(app_id, row, now)
                else:
                    self._fleet.delete(app_id, row.task_id, at=now)
        if kind in {"create", "replace"}:
            for _ in range(count):
                self._fleet.create(app_id, self._maker.any(app_id), at=now)

    def _gap(self) -> float:
        return self._random.expovariate(self._rates.total) if self._rates.total > 0 else 0.0

    def _one_event(self, at: float) -> None:
        """Let one event happen to a random task; new ones are mostly of its mode, the marked ones stay."""
        sizes = {app_id: len(tasks) for app_id, tasks in self._fleet.apps.items()}
        if not any(sizes.values()):
            return
        app_id = self._random.choices(list(sizes), list(sizes.values()))[0]
        rates = self._rates
        (kind,) = self._random.choices(
            ("update", "create", "delete", "resave"), (rates.update, rates.create, rates.delete, rates.resave)
        )
        row = self._fleet.apps[app_id].order[self._random.randrange(sizes[app_id])]
        if kind == "create":
            mixed_share = MIXED_AMONG_SINGLE if b'"MixMode":"0"' in row.body else 1.0
            self._fleet.create(app_id, self._maker.any(app_id, mixed_share=mixed_share), at=at)
            return
        if row.stopped or (kind == "delete" and row.marks):
            return
        if kind == "update":
            self._update(app_id, row, at)
        elif kind == "delete":
            self._fleet.delete(app_id, row.task_id, at=at)
        else:
            self._fleet.resave(app_id, row.task_id, at=at)

    def _update(self, app_id: str, row: FleetRow, at: float) -> None:
        """Change one task, though never what is wrong with it on purpose."""
        self._fleet.update(app_id, row.task_id, self._patch(row), at=at)

    def _patch(self, row: FleetRow) -> dict[str, Any]:
        fresh = f"{self._random.getrandbits(40):010x}"
        if row.marks:
            return {"ChannelId": f"channel-{fresh}"}
        if b'"TranscodeParams"' not in row.body or self._random.random() < 0.3:
            return {"ChannelId": f"channel-{fresh}", "MaxIdleTime": self._random.choice(("120", "300", "600"))}
        if b'"VideoBitrate"' in row.body and self._random.random() < 0.6:
            bitrate_kbps = self._random.randrange(800, 3000)
            return {"TranscodeParams": {"EncodeParams": {"VideoBitrate": str(bitrate_kbps)}}}
        return {"TranscodeParams": {"Background": {"URL": f"https://assets.example.com/backgrounds/{fresh}.png"}}}
