"""`/api/v1/apps`."""

from exporter.core.collection_state import State
from exporter.web.api.apps_api import apps_document
from tests.web.fake_view import NOW, PENDING, app_view


def test_an_app_is_shown_with_all_that_is_known() -> None:
    """The document has status, tasks, quota, times, effective intervals, attempts and facts of the last sweep."""
    tasks = {("CN-Shanghai", "single"): 2, ("AP-Singapore", "mixed"): 0}
    assert apps_document([app_view(tasks, quota_mixed=None)]) == {
        "apps": [
            {
                "account": "production",
                "app_id": "live-main",
                "name": "Main stage",
                "owner": "live-ops",
                "up": True,
                "state": "ok",
                "reason": "",
                "data_available": True,
                "quota": {"single": 200, "mixed": None},
                "tasks": [
                    {"task_region": "AP-Singapore", "mix_mode": "mixed", "count": 0},
                    {"task_region": "CN-Shanghai", "mix_mode": "single", "count": 2},
                ],
                "last_update_timestamp_seconds": NOW - 3,
                "last_sweep_timestamp_seconds": NOW - 120,
                "last_attempt_timestamp_seconds": NOW - 3,
                "interval_seconds": 10.0,
                "sweep_interval_seconds": 300.0,
                "stale_after_seconds": 900.0,
                "interval_stretch_ratio": 1.0,
                "attempts": [
                    {"kind": "sweep", "outcome": "ok", "count": 2},
                    {"kind": "update", "outcome": "ok", "count": 40},
                ],
                "sweep": {
                    "duration_seconds": 1.5,
                    "requests": 3,
                    "repaired_tasks": 0,
                    "duplicate_rows": 1,
                    "rows_without_task_id": 0,
                },
            }
        ]
    }


def test_what_is_unknown_is_null() -> None:
    """An app that was never read has null for tasks, times and sweep: no zero stands for not knowing."""
    (app,) = apps_document([PENDING])["apps"]
    assert app["state"] == State.PENDING
    assert {key for key, value in app.items() if value is None} == {
        "tasks",
        "last_update_timestamp_seconds",
        "last_sweep_timestamp_seconds",
        "last_attempt_timestamp_seconds",
        "sweep",
    }
