"""Cases that no alert about tasks resolves because nobody could look: data withdrawn, restarts, an exporter away."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from tests.alerts.alert_cases import (
    GONE,
    STALE,
    Case,
    Firing,
    Samples,
    World,
    away,
    healthy,
    of_app,
    restarting,
    rule_info,
    series,
    violated_rule,
)

MINUTES: Final = 60
ABOUT_TASKS: Final = ("rtcmpu_task", "rtcmpu_policy_violation", "rtcmpu_policy_evaluated", "rtcmpu_policy_exempted")
ALWAYS_THERE: Final = ("rtcmpu_task_quota", "rtcmpu_task_changes")
VIOLATIONS: Final = of_app("rtcmpu_policy_violations", rule="region", severity="critical")
OPEN_SINCE: Final = of_app("rtcmpu_policy_oldest_violation_timestamp_seconds", rule="region", severity="critical")
FIRES: Final = [violated_rule("region", "critical", 3, "Region as agreed")]
QUIET: Final[Sequence[Firing]] = []


def violated(minutes: int = MINUTES, *, instance: str = "one") -> dict[str, Samples]:
    """Return what an exporter says of an app of which three tasks violate a rule all the time."""
    violations = of_app("rtcmpu_policy_violations", rule="region", severity="critical", instance=instance)
    return healthy(minutes, instance=instance) | {violations: [3] * minutes}


def about_tasks(world: World) -> dict[str, Samples]:
    """Return the series that an exporter withdraws."""
    return {
        name: samples
        for name, samples in world.items()
        if name.startswith(ABOUT_TASKS) and not name.startswith(ALWAYS_THERE)
    }


def withdrawn(world: World, *, after: int, minutes: int) -> dict[str, Samples]:
    """Return a world whose task data is withdrawn for a while."""
    hidden: dict[str, Samples] = {
        name: away(samples, after=after, steps=minutes) for name, samples in about_tasks(world).items()
    }
    available: dict[str, Samples] = {
        name: [*samples[:after], *[0] * minutes, *samples[after + minutes :]]
        for name, samples in world.items()
        if name.startswith(("rtcmpu_collection_data_available", "rtcmpu_up"))
    }
    return {**world, **hidden, **available}


def successor(world: World, *, after: int, minutes: int) -> dict[str, Samples]:
    """Return a world in which another pod takes the exporter's place, some minutes after it is gone."""
    old: dict[str, Samples] = {name: [*samples[:after], STALE] for name, samples in world.items()}
    new: dict[str, Samples] = {
        name.replace('instance="one"', 'instance="two"'): [*[GONE] * (after + minutes), *samples[after + minutes :]]
        for name, samples in world.items()
    }
    return old | new


def only(world: World, *gone: str, after: int) -> dict[str, Samples]:
    """Return a world from which the series that start so are gone for good."""
    return {name: [*samples[:after], STALE] if name.startswith(gone) else samples for name, samples in world.items()}


def app_removed(world: World, *, after: int) -> dict[str, Samples]:
    """Return a world in which a reload removes the app."""
    return {name: [*samples[:after], STALE] if 'app_id="live"' in name else samples for name, samples in world.items()}


def case(
    about: str,
    world: World,
    fires: Mapping[str, Sequence[Firing]],
    *,
    step: str = "1m",
    by_prometheus_3: Mapping[str, Sequence[Firing]] = MappingProxyType({}),
) -> Case:
    """Return a case of the alert about violations."""
    return Case(
        about=about,
        alert="RtcmpuUnexpectedTaskConfiguration",
        world=world,
        fires=fires,
        step=step,
        fires_by_prometheus_3=by_prometheus_3,
    )


FIXED_AFTERWARDS: Final = {VIOLATIONS: [3] * 20 + [GONE] * 20 + [0] * 20}
CASES: Final = (
    case(
        "While data is withdrawn, the alert goes on, and when it is back too.",
        withdrawn(violated(), after=20, minutes=30),
        {"5m": FIRES, "20m": FIRES, "49m": FIRES, "50m": FIRES, "59m": FIRES},
    ),
    case(
        "What is found fixed when data is back resolves at once.",
        withdrawn(violated(), after=20, minutes=20) | FIXED_AFTERWARDS,
        {"39m": FIRES, "40m": QUIET},
    ),
    case(
        "A violation that was fixed before data was withdrawn does not come back.",
        withdrawn(violated() | {VIOLATIONS: [3] * 10 + [0] * 50}, after=20, minutes=30),
        {"9m": FIRES, "10m": QUIET, "20m": QUIET, "49m": QUIET},
    ),
    case(
        "Data of an app that is withdrawn is held for a day and no longer.",
        withdrawn(violated(120), after=10, minutes=110),
        {"24h": FIRES, "26h": FIRES, "26h15m": FIRES, "26h30m": QUIET},
        step="15m",
        by_prometheus_3={"26h15m": QUIET},
    ),
    case(
        "A restart without a database is bridged until the first sweep.",
        withdrawn(restarting(violated(), after=20, minutes=2), after=22, minutes=5)
        | {name: away(samples, after=20, steps=7) for name, samples in about_tasks(violated()).items()},
        {"20m": FIRES, "21m": FIRES, "22m": FIRES, "26m": FIRES, "27m": FIRES, "40m": FIRES},
    ),
    case(
        "Data that is back before the rules are evaluated resolves nothing.",
        withdrawn(violated(), after=20, minutes=20)
        | {
            name: away(samples, after=20, steps=22)
            for name, samples in about_tasks(violated()).items()
            if "_policy_" in name
        },
        {"39m": FIRES, "40m": FIRES, "41m": FIRES, "42m": FIRES},
    ),
    case(
        "A pod that takes the place of another three minutes later goes on where that ended.",
        successor(violated(), after=20, minutes=3),
        {"19m": FIRES, "20m": FIRES, "22m": FIRES, "23m": FIRES, "40m": FIRES},
    ),
    case(
        "While the exporter is down for an hour, the alert goes on.",
        restarting(violated(100), after=20, minutes=60),
        {"20m": FIRES, "50m": FIRES, "79m": FIRES, "80m": FIRES, "99m": FIRES},
    ),
    case(
        "Of two exporters of different accounts, one restarts: the other does not make its alerts end.",
        restarting(violated(), after=20, minutes=2) | healthy(MINUTES, account="dev", instance="dev"),
        {"19m": FIRES, "20m": FIRES, "21m": FIRES, "22m": FIRES},
    ),
    case(
        "Two replicas are one alert, which neither's restart nor withdrawal touches.",
        withdrawn(restarting(violated(), after=20, minutes=10), after=40, minutes=10) | violated(instance="two"),
        {"5m": FIRES, "20m": FIRES, "29m": FIRES, "30m": FIRES, "45m": FIRES, "55m": FIRES},
    ),
    case(
        "An app that a reload removes takes its alert with it at once.",
        app_removed(violated(), after=20),
        {"19m": FIRES, "20m": QUIET, "40m": QUIET},
    ),
    case(
        "An app that a reload removes while its data is withdrawn takes its alert with it too.",
        app_removed(withdrawn(violated(), after=20, minutes=40), after=30),
        {"29m": FIRES, "30m": QUIET, "40m": QUIET},
    ),
    case(
        "The alerts of an account that a reload removes end within minutes.",
        only(app_removed(violated(), after=20), "rtcmpu_exporter_api_throttled_total", after=20),
        {"19m": FIRES, "25m": QUIET},
    ),
    case(
        "A rule that a reload removes takes its alert with it at once.",
        only(violated(), "rtcmpu_policy_", after=20),
        {"19m": FIRES, "20m": QUIET},
    ),
    case(
        "A rule that a reload removes while data is withdrawn takes its alert with it too.",
        only(withdrawn(violated(), after=20, minutes=40), "rtcmpu_policy_rule_info", after=30),
        {"29m": FIRES, "30m": QUIET, "40m": QUIET},
    ),
    case(
        "A reload that changes a rule's severity while data is withdrawn ends the alert of the old one.",
        only(withdrawn(violated(), after=20, minutes=40), "rtcmpu_policy_rule_info", after=30)
        | {rule_info("region", "info", title="Region as agreed"): [GONE] * 30 + [1] * 30},
        {"29m": FIRES, "30m": QUIET, "40m": QUIET},
    ),
    case(
        "Nothing that is healthy alerts, whether withdrawn or restarting.",
        withdrawn(restarting(healthy(MINUTES), after=10, minutes=3), after=30, minutes=20),
        {"9m": QUIET, "12m": QUIET, "40m": QUIET, "55m": QUIET},
    ),
)


ABOUT_TASKS_ALERTS: Final = (
    "RtcmpuFieldErrors",
    "RtcmpuNoTasks",
    "RtcmpuPushHostNearlyFull",
    "RtcmpuPushKeysExpired",
    "RtcmpuPushKeysExpiring",
    "RtcmpuPushStreamShared",
    "RtcmpuQuotaNearlyUsed",
    "RtcmpuRuleNotEvaluable",
    "RtcmpuTasksDropped",
    "RtcmpuUnexpectedTaskConfiguration",
    "RtcmpuViolationOpenForLong",
)


def all_wrong() -> dict[str, Samples]:
    """Return two apps with which everything is wrong that can be wrong with tasks."""
    empty = {"account": "prod", "app_id": "empty"}
    return {
        **violated(),
        OPEN_SINCE: [-1e5] * MINUTES,
        of_app("rtcmpu_policy_unevaluable_tasks", rule="region"): [1] * MINUTES,
        of_app("rtcmpu_task_field_errors", field="MaxIdleTime"): [1] * MINUTES,
        of_app("rtcmpu_tasks", task_region="CN-Shanghai", mix_mode="mixed"): [100] * 3 + [38] * 57,
        of_app("rtcmpu_task_outputs_by_push_auth", signer="tencent", state="expired"): [1] * MINUTES,
        of_app("rtcmpu_task_outputs_by_push_auth", signer="tencent", state="expiring"): [1] * MINUTES,
        of_app("rtcmpu_task_outputs_by_host", host="push.example.com"): [300] * MINUTES,
        rule_info("push-stream-shared", "critical", title="Region as agreed"): [1] * MINUTES,
        of_app("rtcmpu_policy_violations", rule="push-stream-shared", severity="critical"): [2] * MINUTES,
        **healthy(MINUTES, app_id="empty"),
        series("rtcmpu_tasks", **empty, task_region="CN-Shanghai", mix_mode="mixed"): [0] * MINUTES,
        rule_info("expect-tasks", "info", title="As many tasks as agreed"): [1] * MINUTES,
        series("rtcmpu_policy_violations", **empty, rule="expect-tasks", severity="info"): [1] * MINUTES,
        series("rtcmpu_policy_evaluated_tasks", **empty, rule="expect-tasks"): [1] * MINUTES,
    }


def unusual_changes() -> World:
    """Return an app that can't be read any more in the middle of unusually many changes."""
    changes = [minute if minute < 120 else 120 + 600 * (minute - 120) for minute in range(180)]
    stopped = [min(count, changes[135]) for count in changes]
    return withdrawn(
        healthy(180)
        | {
            of_app("rtcmpu_task_changes_total", change="modified"): stopped,
            of_app("rtcmpu_task_changes_total", change="added"): [0] * 180,
        },
        after=135,
        minutes=45,
    )


def disagreeing_replicas() -> World:
    """Return replicas that describe one rule differently, since they are reloaded one after another."""
    infos: dict[str, Samples] = {
        rule_info("region", "critical", title="Region as agreed", owner=owner, instance=instance): samples
        for instance, its_owner in (("one", "live-ops"), ("two", "video-team"))
        for owner, samples in (("", [STALE]), (its_owner, [1] * MINUTES))
    }
    return violated() | violated(instance="two") | infos


def all_fire(
    about: str, world: World, alerts: Sequence[str], minutes: Sequence[int], *, firing: bool = True
) -> dict[str, Any]:
    """Return the test that all of some alerts, or none of them, fire at each of some minutes."""
    query = f'count by (alertname) (ALERTS{{alertstate="firing",alertname=~"{"|".join(alerts)}"}}) ^ 0'
    samples = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in alerts if firing]
    return {
        "name": about,
        "interval": "1m",
        "input_series": [{"series": name, "values": " ".join(map(str, values))} for name, values in world.items()],
        "promql_expr_test": [{"expr": query, "eval_time": f"{minute}m", "exp_samples": samples} for minute in minutes],
    }


def fixed_before(world: World, *families: str, after: int) -> World:
    """Return a world in which a family that has no zeros is gone, and then the data of its app is withdrawn."""
    return withdrawn(only(world, *families, after=after), after=after + 10, minutes=20)


_MOMENTS: Final = (18, 19, 20, 21, 22, 23, 24, 30, 45)
HELD: Final = (
    all_fire(
        "While data is withdrawn, every alert about tasks goes on.",
        withdrawn(all_wrong(), after=20, minutes=30),
        ABOUT_TASKS_ALERTS,
        _MOMENTS,
    ),
    all_fire(
        "While the exporter restarts, every alert about tasks goes on.",
        restarting(all_wrong(), after=20, minutes=2),
        ABOUT_TASKS_ALERTS,
        _MOMENTS,
    ),
    all_fire(
        "While another pod takes its place, every alert about tasks goes on.",
        successor(all_wrong(), after=20, minutes=3),
        ABOUT_TASKS_ALERTS,
        _MOMENTS,
    ),
    all_fire(
        "One of two exporters of a job is down: every alert about its apps goes on.",
        restarting(all_wrong(), after=20, minutes=40) | healthy(MINUTES, app_id="other", instance="two"),
        ABOUT_TASKS_ALERTS,
        (18, 20, 21, 25, 30, 45, 59),
    ),
    all_fire(
        "What had no error any more when data was withdrawn does not come back.",
        fixed_before(
            all_wrong(),
            "rtcmpu_task_field_errors",
            "rtcmpu_policy_unevaluable_tasks",
            "rtcmpu_task_outputs_by_push_auth",
            "rtcmpu_task_outputs_by_host",
            after=20,
        ),
        (
            "RtcmpuFieldErrors",
            "RtcmpuPushHostNearlyFull",
            "RtcmpuPushKeysExpired",
            "RtcmpuPushKeysExpiring",
            "RtcmpuRuleNotEvaluable",
        ),
        (25, 29, 30, 35, 49, 55),
        firing=False,
    ),
    all_fire(
        "Unusually many changes do not end because nobody looks.",
        unusual_changes(),
        ["RtcmpuChurnHigh"],
        (130, 134, 135, 140, 144),
    ),
    all_fire(
        "Replicas that describe a rule differently for a moment break no alert.",
        disagreeing_replicas(),
        ["RtcmpuUnexpectedTaskConfiguration"],
        (10, 30, 59),
    ),
)
