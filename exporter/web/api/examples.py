"""One example of each answer, for the OpenAPI document."""

from typing import Final

from exporter.core.collection_state import State
from exporter.rules.rule import Outcome, Severity
from exporter.rules.vocabulary import AudioFacts, OutputFacts, TaskFacts, VideoFacts
from exporter.web.api.apps_api import AppsDocument
from exporter.web.api.changes_api import ChangesDocument
from exporter.web.api.rules_api import RulesDocument
from exporter.web.api.tasks_api import TaskDocument, TasksDocument, TaskWithFindingsDocument
from exporter.web.api.violations_api import ViolationsDocument
from exporter.web.query import cursor_after

_BEGAN: Final = 1_800_000_000.0
_ACCOUNT: Final = "production"
_APP_ID: Final = "live-main"
_TASK_ID: Final = "task-1"
_RULE: Final = "video-bitrate-agreed"
_TITLE: Final = "Video bitrate within what was agreed"
_MESSAGE: Final = "the video has 4500 kbit/s, agreed are 3000"
_RUNBOOK_URL: Final = "https://runbooks.example.com/bitrate"

APPS: Final[AppsDocument] = {
    "apps": [
        {
            "account": _ACCOUNT,
            "app_id": _APP_ID,
            "name": "Main stage",
            "owner": "live-ops",
            "up": True,
            "state": State.OK,
            "reason": "",
            "data_available": True,
            "quota": {"single": 200, "mixed": None},
            "tasks": [{"task_region": "CN-Shanghai", "mix_mode": "mixed", "count": 1}],
            "last_update_timestamp_seconds": _BEGAN + 290,
            "last_sweep_timestamp_seconds": _BEGAN,
            "last_attempt_timestamp_seconds": _BEGAN + 290,
            "interval_seconds": 10.0,
            "sweep_interval_seconds": 300.0,
            "stale_after_seconds": 900.0,
            "interval_stretch_ratio": 1.0,
            "attempts": [{"kind": "update", "outcome": State.OK, "count": 29}],
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

_TASK: Final[TaskDocument] = {
    "account": _ACCOUNT,
    "app_id": _APP_ID,
    "task_id": _TASK_ID,
    "channel_id": "stage-a",
    "configuration": TaskFacts(
        region="CN-Shanghai",
        mix_mode="mixed",
        idle_timeout_seconds=60,
        has_encode_params=True,
        has_transcode_params=True,
        has_multi_stream_url=True,
        video=VideoFacts(
            codec="H.264",
            bitrate_kbps=4500,
            framerate=25,
            gop=50,
            width=1280,
            height=720,
            pixels=921_600,
            resolution="720p",
            aspect=1280 / 720,
            gop_seconds=2.0,
            bits_per_pixel=0.1953125,
        ),
        audio=AudioFacts(bitrate_kbps=128, channels=2, sample_rate_hertz=48_000),
        outputs=(OutputFacts(scheme="rtmp", host="push.example.com", is_ali_cdn=True),),
    ),
    "omitted": {"outputs": 0, "panes": 0, "user_streams": 0},
    "first_seen_timestamp_seconds": _BEGAN,
    "last_changed_timestamp_seconds": _BEGAN + 120,
    "violations": [_RULE],
    "data_available": True,
}

TASKS: Final[TasksDocument] = {
    "tasks": [_TASK],
    "apps_without_data": [{"account": _ACCOUNT, "app_id": "live-new", "reason": "no sweep has finished yet"}],
    "next_cursor": cursor_after(_ACCOUNT, _APP_ID, _TASK_ID),
}

TASK: Final[TaskWithFindingsDocument] = {
    **_TASK,
    "findings": [
        {
            "rule": _RULE,
            "severity": Severity.WARNING,
            "title": _TITLE,
            "outcome": Outcome.VIOLATION,
            "since_timestamp_seconds": _BEGAN + 120,
            "message": _MESSAGE,
            "exemption": None,
            "reason": None,
        }
    ],
}

CHANGES: Final[ChangesDocument] = {
    "changes": [
        {
            "number": 7,
            "noticed_timestamp_seconds": _BEGAN + 120,
            "account": _ACCOUNT,
            "app_id": _APP_ID,
            "task_id": _TASK_ID,
            "change": "modified",
            "fields": [{"field": "idle_timeout", "before": None, "after": "60 s"}],
        }
    ],
    "remembered_since": _BEGAN,
    "next_cursor": "7",
}

VIOLATIONS: Final[ViolationsDocument] = {
    "violations": [
        {
            "account": _ACCOUNT,
            "app_id": _APP_ID,
            "task_id": _TASK_ID,
            "rule": _RULE,
            "severity": Severity.WARNING,
            "title": _TITLE,
            "owner": "live-ops",
            "runbook_url": _RUNBOOK_URL,
            "message": _MESSAGE,
            "since_timestamp_seconds": _BEGAN + 120,
            "exemption": None,
            "reason": None,
            "data_available": True,
        }
    ],
    "matching": 1,
    "apps_without_data": [{"account": _ACCOUNT, "app_id": "live-new", "reason": "no sweep has finished yet"}],
    "next_cursor": None,
}

RULES: Final[RulesDocument] = {
    "rules": [
        {
            "name": _RULE,
            "title": _TITLE,
            "severity": Severity.WARNING,
            "owner": "live-ops",
            "runbook_url": _RUNBOOK_URL,
            "source": "rules/live.yml:3:5",
            "enabled": True,
            "state": "on",
            "why": None,
            "apps": ["live-*"],
            "when": "task.mix_mode == 'mixed'",
            "expect": "task.video.bitrate_kbps <= 3000",
            "message": "",
            "reason": "It is paid for by bandwidth.",
            "remedy": "Set VideoBitrate to what was agreed.",
            "exemptions": [
                {
                    "name": "load-test",
                    "tasks": ["test-*"],
                    "until": "2027-01-31",
                    "reason": "Agreed upon.",
                    "ended": False,
                }
            ],
            "totals": {
                "violations": 1,
                "evaluated": 9,
                "not_applicable": 0,
                "exempted": 0,
                "unevaluable": 0,
                "oldest_violation_timestamp_seconds": _BEGAN + 120,
            },
            "unevaluable_reasons": [],
        }
    ],
    "matching": 1,
    "next_cursor": None,
}
