"""From outcomes to what may be said and shown."""

import msgspec

from exporter.collector.status import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Backoff,
    Kind,
    Status,
    StatusTracker,
    Sweep,
)
from exporter.config.model import App, Quota
from exporter.core.collection_state import State
from tests.support.moving_list import INTERVALS

SWEEP = Sweep(
    began=1000.0, duration_seconds=2.0, requests=3, repaired_tasks=0, duplicate_rows=0, rows_without_task_id=0
)


def tracker() -> StatusTracker:
    """Return what nothing is known of yet."""
    return StatusTracker("account", App(id="app", name="name", owner="owner", quota=Quota(single=1, mixed=2)))


def status(of: StatusTracker, at: float = 0.0) -> Status:
    """Return the status at a monotonic time."""
    return of.status(INTERVALS, at=at)


def test_an_accepted_sweep_counts_until_it_is_too_old() -> None:
    """It ends the reason of the first failure; its age counts from its beginning, and updates do not renew it."""
    app = tracker()
    app.began(now=500.0)
    app.failed(Kind.SWEEP, State.AUTH_ERROR, "the key is revoked")
    failed = status(app)
    assert (failed.state, failed.reason, failed.last_attempt_began) == (State.AUTH_ERROR, "the key is revoked", 500.0)
    app.swept(SWEEP, INTERVALS, began_at=10.0)
    app.updated(began=1030.0)
    young, old, too_old = (status(app, at=at) for at in (12.0, 40.0, 40.1))
    assert (young.state, young.reason, young.up, young.sweep) == (State.OK, "", True, SWEEP)
    assert (young.account, young.app_id, young.name, young.owner) == ("account", "app", "name", "owner")
    assert (young.quota_single, young.quota_mixed, young.last_update_began) == (1, 2, 1030.0)
    assert (old.data_available, too_old.data_available, too_old.last_sweep_began) == (True, False, 1000.0)


def test_data_that_grows_old_while_attempts_hang_is_not_called_ok() -> None:
    """Nothing has failed yet and nothing came: it is not up, and the reason says that attempts have not ended."""
    app = tracker()
    app.swept(SWEEP, INTERVALS, began_at=0.0)
    now = status(app, at=31.0)
    assert (now.state, now.up, now.data_available) == (State.TIMEOUT, False, False)
    assert now.reason == "no sweep was complete for 30 s, and none has ended"
    app.swept(SWEEP, INTERVALS, began_at=40.0)
    assert (status(app, at=41.0).state, status(app, at=41.0).up) == (State.OK, True)


def test_a_shorter_interval_makes_no_data_stale_before_the_next_sweep() -> None:
    """A sweep that was accepted while intervals were stretched stays good for as long as was said then."""
    stretched = msgspec.structs.replace(INTERVALS, stale_after_seconds=600)
    app = tracker()
    app.swept(SWEEP, stretched, began_at=0.0)
    young, old, too_old = status(app, at=20.0), status(app, at=500.0), status(app, at=601.0)
    assert (young.data_available, young.stale_after_seconds) == (True, INTERVALS.stale_after_seconds)
    assert (old.data_available, old.stale_after_seconds) == (True, 600)
    assert (too_old.data_available, too_old.stale_after_seconds) == (False, INTERVALS.stale_after_seconds)
    app.swept(SWEEP, INTERVALS, began_at=500.0)
    assert not status(app, at=500.0 + INTERVALS.stale_after_seconds + 1).data_available


def test_a_sweep_that_fails_ends_the_longer_patience() -> None:
    """Once a sweep has failed under the shorter interval, the data is as stale as that says; an update ends nothing."""
    app = tracker()
    app.swept(SWEEP, msgspec.structs.replace(INTERVALS, stale_after_seconds=600), began_at=0.0)
    app.failed(Kind.UPDATE, State.TIMEOUT, "no answer")
    assert status(app, at=INTERVALS.stale_after_seconds + 1).data_available
    app.failed(Kind.SWEEP, State.AUTH_ERROR, "the key is revoked")
    now = status(app, at=INTERVALS.stale_after_seconds + 1)
    assert (now.data_available, now.stale_after_seconds) == (False, INTERVALS.stale_after_seconds)


def test_an_attempt_that_ends_by_a_bug_is_counted() -> None:
    """Not what else of the exporter fails while it works on the app; both are its state."""
    app = tracker()
    app.broke(Kind.UPDATE, "a bug")
    assert status(app).attempts == {(Kind.UPDATE, State.INTERNAL_ERROR): 1}
    app.broke("rules", "another one")
    assert (sum(status(app).attempts.values()), status(app).state) == (1, State.INTERNAL_ERROR)
    app.recovered(Kind.UPDATE)
    assert status(app).reason == "another one"


def test_repairs_and_duplicates_are_added_up_over_sweeps() -> None:
    """What each sweep repaired and saw twice can be rated, whatever falls between two scrapes."""
    app = tracker()
    app.swept(msgspec.structs.replace(SWEEP, repaired_tasks=2, duplicate_rows=1), INTERVALS, began_at=0.0)
    app.swept(msgspec.structs.replace(SWEEP, repaired_tasks=3, duplicate_rows=0), INTERVALS, began_at=1.0)
    assert (status(app).repairs, status(app).duplicates_seen) == (5, 1)


def test_pauses_double_with_each_failure_up_to_a_bound_and_end_with_a_success() -> None:
    """An app that never failed has none; after a success the next failure pauses as briefly as the first."""
    backoff = Backoff()
    assert backoff.ends_at == float("-inf")
    pauses = []
    for _ in range(20):
        backoff.failed(100.0)
        pauses.append(backoff.ends_at - 100.0)
    assert pauses[:3] == [FIRST_PAUSE_SECONDS, 2 * FIRST_PAUSE_SECONDS, 4 * FIRST_PAUSE_SECONDS]
    assert pauses[-1] == max(pauses) == LONGEST_PAUSE_SECONDS
    backoff.succeeded()
    assert backoff.ends_at == float("-inf")
    backoff.failed(3.0)
    assert backoff.ends_at == 3.0 + FIRST_PAUSE_SECONDS
