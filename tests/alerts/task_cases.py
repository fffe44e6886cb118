"""Cases of the alerts about tasks and rules: each fires at its minute, for what it should, and not before."""

from typing import Final

from tests.alerts.alert_cases import (
    EXPORTER,
    GRAFANA,
    STALE,
    Case,
    Firing,
    Samples,
    begins,
    healthy,
    of_app,
    rule_info,
    series,
    violated_rule,
)

MINUTES: Final = 30
DAY: Final = 86400.0

UNEXPECTED: Final = "RtcmpuUnexpectedTaskConfiguration"
OPEN_FOR_LONG: Final = "RtcmpuViolationOpenForLong"
NO_TASKS: Final = "RtcmpuNoTasks"
QUOTA: Final = "RtcmpuQuotaNearlyUsed"
DROPPED: Final = "RtcmpuTasksDropped"
CHURN: Final = "RtcmpuChurnHigh"
FIELD_ERRORS: Final = "RtcmpuFieldErrors"
NOT_EVALUABLE: Final = "RtcmpuRuleNotEvaluable"
MATCHES_NOTHING: Final = "RtcmpuRuleMatchesNothing"
EXPIRED: Final = "RtcmpuPushKeysExpired"
EXPIRING: Final = "RtcmpuPushKeysExpiring"
SHARED: Final = "RtcmpuPushStreamShared"
HOST_FULL: Final = "RtcmpuPushHostNearlyFull"
EXEMPTION: Final = "RtcmpuExemptionEnding"


def of_prod(severity: str, value: object = "", owner: str = "live-ops", **more: str) -> Firing:
    """Return an alert about the app."""
    labels = {"account": "prod", "app_id": "live", "severity": severity, "owner": owner, **more}
    return Firing(labels=labels, value=str(value))


def rule(
    name: str,
    severity: str,
    *,
    violations: Samples,
    steps: int = MINUTES,
    owner: str = "",
    title: str = "As agreed",
    runbook: str = "",
    evaluated: float = 10,
    unevaluable: Samples | None = None,
) -> dict[str, Samples]:
    """Return what an exporter says of a rule."""
    return {
        rule_info(name, severity, title=title, owner=owner, runbook=runbook): [1] * steps,
        of_app("rtcmpu_policy_violations", rule=name, severity=severity): violations,
        **({of_app("rtcmpu_policy_evaluated_tasks", rule=name): [evaluated] * steps} if evaluated else {}),
        **({of_app("rtcmpu_policy_unevaluable_tasks", rule=name): unevaluable} if unevaluable else {}),
    }


def examples(name: str, severity: str, *task_ids: str) -> dict[str, Samples]:
    """Return the examples of a rule's violations."""
    return {
        of_app("rtcmpu_policy_violation_example", rule=name, severity=severity, task_id=task_id): [1] * MINUTES
        for task_id in task_ids
    }


def mixed_tasks(samples: Samples, app_id: str = "live") -> dict[str, Samples]:
    """Return this many mixed tasks in one region."""
    return {of_app("rtcmpu_tasks", app_id=app_id, task_region="CN-Shanghai", mix_mode="mixed"): samples}


BAD: Final = [0] * 10 + [2] * 20
OPEN_SINCE: Final = of_app("rtcmpu_policy_oldest_violation_timestamp_seconds", rule="region", severity="critical")
REGION_VIOLATIONS: Final = of_app("rtcmpu_policy_violations", rule="region", severity="critical")


def open_for(age: str) -> Firing:
    """Return the alert about an old violation of `region`."""
    return of_prod("critical", age, rule="region")


def exemption(name: str) -> str:
    """Return the series of an exemption from `region`."""
    return series("rtcmpu_policy_exemption_expiry_timestamp_seconds", rule="region", exemption=name)


def ends_in(left: str) -> Firing:
    """Return the alert that the exemption ends soon."""
    return Firing(labels={"rule": "region", "exemption": "load-test", "severity": "info"}, value=left)


def keys(state: str, samples: Samples, signer: str = "tencent", instance: str = "one") -> dict[str, Samples]:
    """Return how many push keys of a signer are in a state."""
    return {of_app("rtcmpu_task_outputs_by_push_auth", signer=signer, state=state, instance=instance): samples}


def pushes(host: str, samples: Samples, app_id: str = "live") -> dict[str, Samples]:
    """Return how many push URLs of an app go to a host."""
    return {of_app("rtcmpu_task_outputs_by_host", app_id=app_id, host=host): samples}


TASK_CASES: Final = (
    Case(
        about="Expired keys of all signers alert after five minutes, until the last one is renewed.",
        alert=EXPIRED,
        world=healthy(MINUTES)
        | keys("expired", ["_"] * 10 + [2] * 10 + [STALE])
        | keys("expired", ["_"] * 10 + [2] * 10 + [STALE], instance="two")
        | keys("expired", ["_"] * 12 + [1] * 8 + [STALE], signer="alibaba")
        | keys("valid", [7] * MINUTES)
        | keys("expiring", [7] * MINUTES),
        fires={"14m": [], "15m": [of_prod("warning", 3, state="expired")], "20m": []},
    ),
    Case(
        about="Keys that expire within the warning are worth a look, and expired ones are not among them.",
        alert=EXPIRING,
        world=healthy(MINUTES) | keys("expiring", ["_"] * 10 + [4] * 10 + [STALE]) | keys("expired", [1] * MINUTES),
        fires={"14m": [], "15m": [of_prod("info", 4, state="expiring")], "20m": []},
    ),
    Case(
        about="Two tasks on one stream are critical whatever the rule's severity, unless it is info.",
        alert=SHARED,
        world=healthy(MINUTES) | rule("push-stream-shared", "warning", violations=BAD),
        fires=begins("15m", of_prod("critical", 2, rule="push-stream-shared")),
    ),
    Case(
        about="A rule about shared streams that is made information is silent.",
        alert=SHARED,
        world=healthy(MINUTES) | rule("push-stream-shared", "info", violations=BAD),
        fires={"20m": []},
    ),
    Case(
        about="A host alerts by the push URLs of all apps together; the rest of the hosts is no host.",
        alert=HOST_FULL,
        world=healthy(MINUTES)
        | healthy(MINUTES, app_id="radio")
        | pushes("push.example.com", [200] * 10 + [201] * 10 + [STALE])
        | pushes("push.example.com", [70] * 30, "radio")
        | pushes("other", [900] * 30)
        | pushes("edge.example.com", [269] * 30),
        fires={
            "14m": [],
            "15m": [Firing(labels={"host": "push.example.com", "severity": "warning"}, value="271")],
            "20m": [],
        },
    ),
    Case(
        about="Violations alert by severity after five minutes, with the rule's owner or else the app's; info never.",
        alert=UNEXPECTED,
        world=healthy(MINUTES)
        | rule(
            "bitrate",
            "warning",
            violations=BAD,
            owner="video-team",
            title="Bitrate as agreed",
            runbook="https://wiki.example.com/bitrate",
        )
        | rule("push-host", "critical", violations=BAD, title="Known push host")
        | rule("idle-timeout-missing", "info", violations=BAD, owner="video-team")
        | examples("bitrate", "warning", "task-b", "task-a")
        | {
            of_app(
                "rtcmpu_policy_violation_example", rule="bitrate", severity="warning", task_id="task-a", instance="two"
            ): [1] * MINUTES
        },
        fires={
            "14m": [],
            "15m": [
                violated_rule(
                    "bitrate",
                    "warning",
                    2,
                    "Bitrate as agreed",
                    " For example: task-a, task-b.",
                    labels={"owner": "video-team"},
                    rule_runbook_url="https://wiki.example.com/bitrate",
                ),
                violated_rule("push-host", "critical", 2, "Known push host"),
            ],
        },
    ),
    Case(
        about="An app without an owner alerts without one, and links are escaped.",
        alert=UNEXPECTED,
        world={
            name.replace('"live"', '"a & b"').replace('"live-ops"', '""'): samples
            for name, samples in (healthy(MINUTES) | {REGION_VIOLATIONS: BAD}).items()
        },
        fires={
            "15m": [
                violated_rule(
                    "region",
                    "critical",
                    2,
                    "Region as agreed",
                    labels={"app_id": "a & b", "owner": ""},
                    violations_url=f"{EXPORTER}/violations?account=prod&app_id=a+%26+b&rule=region",
                    dashboard_url=f"{GRAFANA}/rtcmpu-expectations?var-account=prod&var-app_id=a+%26+b",
                )
            ]
        },
    ),
    Case(
        about="A reload that changes a rule's severity changes the alert's.",
        alert=UNEXPECTED,
        world={
            **healthy(MINUTES),
            **{name: [*samples[:10], STALE] for name, samples in rule("x", "warning", violations=[1] * 30).items()},
            **rule("x", "critical", violations=["_"] * 10 + [1] * 20),
            rule_info("x", "critical", title="As agreed"): ["_"] * 10 + [1] * 20,
        },
        fires={
            "9m": [violated_rule("x", "warning", 1, "As agreed")],
            "10m": [],
            "14m": [],
            "15m": [violated_rule("x", "critical", 1, "As agreed")],
        },
    ),
    Case(
        about="A violation that the exporter has seen for more than a day is open for long.",
        alert=OPEN_FOR_LONG,
        world=healthy(110) | {REGION_VIOLATIONS: [0] * 2 + [1] * 108, OPEN_SINCE: [1800] * 110},
        fires={"24h": [], "24h15m": [], "24h45m": [open_for("1d 0h 15m 0s")], "26h": [open_for("1d 1h 30m 0s")]},
        fires_by_prometheus_3={"24h15m": [open_for("1d 0h 0m 0s")]},
        step="15m",
    ),
    Case(
        about="A restart that forgets since when a violation is open does not make it young.",
        alert=OPEN_FOR_LONG,
        world=healthy(110) | {REGION_VIOLATIONS: [1] * 110, OPEN_SINCE: [0] * 99 + [99 * 900.0] * 11},
        fires={"24h15m": [open_for("1d 0h 15m 0s")], "26h": [open_for("1d 0h 0m 0s")]},
        step="15m",
    ),
    Case(
        about="Fixing the oldest violation ends it, as long as there was a moment without any within the day.",
        alert=OPEN_FOR_LONG,
        world=healthy(110)
        | {
            REGION_VIOLATIONS: [0] * 3 + [1] * 98 + [0] + [1] * 8,
            OPEN_SINCE: [STALE, "_", "_", *[2700] * 99, *[102 * 900.0] * 8],
        },
        fires={"24h15m": [], "24h30m": [], "25h": [open_for("1d 0h 15m 0s")], "25h30m": []},
        fires_by_prometheus_3={"24h30m": [open_for("1d 0h 0m 0s")]},
        step="15m",
    ),
    Case(
        about="An app without any task alerts where its configuration expects some, and only there.",
        alert=NO_TASKS,
        world=healthy(MINUTES)
        | healthy(MINUTES, app_id="radio")
        | rule("expect-tasks", "warning", violations=[0] * 10 + [1] * 20, evaluated=1)
        | mixed_tasks([10] * 10 + [0] * 20)
        | mixed_tasks([0] * 30, "radio"),
        fires=begins("15m", of_prod("critical", rule="expect-tasks")),
    ),
    Case(
        about="An app with too few tasks, but some, is no app without tasks.",
        alert=NO_TASKS,
        world=healthy(MINUTES) | rule("expect-tasks", "warning", violations=[1] * 30) | mixed_tasks([1] * 30),
        fires={"20m": []},
    ),
    Case(
        about="A quota alerts by mode from 90 %, and as critical once it is used up; no quota, no alert.",
        alert=QUOTA,
        world=healthy(MINUTES)
        | healthy(MINUTES, instance="two")
        | {
            of_app("rtcmpu_tasks", task_region="CN-Shanghai", mix_mode="mixed"): [30] * 10 + [31] * 20,
            of_app("rtcmpu_tasks", task_region="AP-Singapore", mix_mode="mixed"): [5] * 20 + [9] * 10,
            of_app("rtcmpu_tasks", task_region="CN-Shanghai", mix_mode="single"): [500] * 30,
        },
        fires={
            "14m": [],
            "15m": [of_prod("warning", "90%", mix_mode="mixed")],
            "24m": [of_prod("warning", "100%", mix_mode="mixed")],
            "25m": [of_prod("warning", "100%", mix_mode="mixed"), of_prod("critical", "100%", mix_mode="mixed")],
        },
    ),
    Case(
        about="Losing more than half of the tasks within an hour alerts after five minutes.",
        alert=DROPPED,
        world=healthy(90)
        | healthy(90, app_id="radio")
        | mixed_tasks([100] * 10 + [40] * 80)
        | mixed_tasks([9] * 10 + [0] * 80, "radio"),
        fires={"14m": [], "15m": [of_prod("warning", "60%")], "75m": []},
    ),
    Case(
        about="Tasks that go little by little are no sudden drop.",
        alert=DROPPED,
        world=healthy(90) | mixed_tasks([100 - minute // 2 for minute in range(90)]),
        fires={"80m": []},
    ),
    Case(
        about="Changes that come five times as often as usual alert after five minutes.",
        alert=CHURN,
        world=healthy(150)
        | {
            of_app("rtcmpu_task_changes_total", change="modified"): [
                6 * minute if minute < 120 else 720 + 600 * (minute - 120) for minute in range(150)
            ],
            of_app("rtcmpu_task_changes_total", change="added"): [0] * 150,
        },
        fires={"120m": [], "125m": [], "126m": [of_prod("warning", 6.04)], "135m": [of_prod("warning", 10)]},
        fires_by_prometheus_3={"126m": [of_prod("warning", 6.7)]},
    ),
    Case(
        about="An app that always changes a lot is as usual.",
        alert=CHURN,
        world=healthy(60) | {of_app("rtcmpu_task_changes_total", change="modified"): [600 * m for m in range(60)]},
        fires={"30m": [], "59m": []},
    ),
    Case(
        about="Values that can't be read alert by field.",
        alert=FIELD_ERRORS,
        world=healthy(MINUTES)
        | {
            of_app("rtcmpu_task_field_errors", field="MaxIdleTime"): ["_"] * 10 + [4] * 20,
            of_app("rtcmpu_task_field_errors", field="MaxIdleTime", instance="two"): ["_"] * 10 + [4] * 20,
        },
        fires=begins("15m", of_prod("warning", 4, field="MaxIdleTime")),
    ),
)

RULE_CASES: Final = (
    Case(
        about="A rule that can't be evaluated for some tasks alerts its owner.",
        alert=NOT_EVALUABLE,
        world=healthy(MINUTES)
        | rule("gop", "info", violations=[0] * 30, owner="video-team", unevaluable=["_"] * 10 + [3] * 20),
        fires=begins("15m", of_prod("warning", 3, "video-team", rule="gop")),
    ),
    Case(
        about="A rule that applies to no app, or one with an owner to no task, is reported after a day.",
        alert=MATCHES_NOTHING,
        world=healthy(100)
        | rule("shipped", "info", violations=[0] * 100, steps=100, evaluated=0)
        | rule("typo-in-when", "warning", violations=[0] * 100, steps=100, owner="live-ops", evaluated=0)
        | {rule_info("typo-in-apps", "warning"): [1] * 100},
        fires={
            "23h45m": [],
            "24h": [
                Firing(labels={"rule": "typo-in-apps", "severity": "info"}),
                Firing(labels={"rule": "typo-in-when", "severity": "info", "owner": "live-ops"}),
            ],
        },
        step="15m",
    ),
    Case(
        about="Before anything is known of every app, no rule is called idle.",
        alert=MATCHES_NOTHING,
        world=healthy(100)
        | rule("typo-in-when", "warning", violations=[0] * 100, steps=100, owner="live-ops", evaluated=0)
        | {of_app("rtcmpu_collection_data_available", app_id="never-read"): [0] * 100},
        fires={"24h": []},
        step="15m",
    ),
    Case(
        about="An exemption is announced a week before it ends, and survives a restart.",
        alert=EXEMPTION,
        world=healthy(MINUTES)
        | {
            exemption("load-test"): [*[7 * DAY + 600] * 15, STALE, "_", *[7 * DAY + 600] * 13],
            exemption("for-long"): [400 * DAY] * MINUTES,
        },
        fires={
            "10m": [],
            "11m": [ends_in("6d 23h 59m 0s")],
            "15m": [ends_in("6d 23h 55m 0s")],
            "20m": [ends_in("6d 23h 50m 0s")],
        },
    ),
    Case(
        about="An exemption that has ended or is removed is silent.",
        alert=EXEMPTION,
        world=healthy(MINUTES) | {exemption("load-test"): [1200] * MINUTES, exemption("removed"): [*[DAY] * 5, STALE]},
        fires={"15m": [ends_in("5m 0s")], "20m": []},
    ),
)
