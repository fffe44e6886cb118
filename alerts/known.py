"""What stays known while an exporter can't say it: the series that alerts about tasks hold on to.

An exporter withdraws data that has become too old, and one that restarts says nothing for a while. Neither fixes a
task. So what alerts about tasks look at is recorded twice: as it is, and *held*, which goes on with the last value
while the data of the app is withheld and the app and the rule still exist.

Recording takes the exporter's instance out, so that two replicas are one, and a pod's successor goes on where it ended.
"""

from collections.abc import Iterator, Sequence

from alerts.rules import Record, duration, promql
from alerts.thresholds import Links, Thresholds

APP_INFO = "app:rtcmpu_app_info:held"
RULE_INFO = "rule:rtcmpu_policy_rule_info:held"
RULE_OWNERS = "app_rule:rtcmpu_policy_owner:held"
KNOWN_APPS = "app:rtcmpu_collection_data_available:held"
WITHHELD_APPS = "app:rtcmpu_collection_data_available:withheld"
_AVAILABLE = "app:rtcmpu_collection_data_available:max"

VIOLATIONS = "app_rule:rtcmpu_policy_violations:held"
OLDEST_VIOLATION = "app_rule:rtcmpu_policy_oldest_violation_timestamp_seconds:held"
MATCHED_TASKS = "app_rule:rtcmpu_policy_matched_tasks:held"
UNEVALUABLE_TASKS = "app_rule:rtcmpu_policy_unevaluable_tasks:held"
TASKS = "app:rtcmpu_tasks:held"
QUOTA_USED = "app_mode:rtcmpu_task_quota_used:held"
FIELD_ERRORS = "app_field:rtcmpu_task_field_errors:held"
CHANGES = "app:rtcmpu_task_changes:held"


def known_records(thresholds: Thresholds, links: Links) -> Sequence[Record]:
    """Return the records, each after those that it needs: they belong into one group, before the alerts."""
    return (
        *_apps(thresholds, links),
        _info(
            APP_INFO,
            "rtcmpu_app_info",
            one_for="account, app_id",
            labels="account, app_id, owner",
            thresholds=thresholds,
            links=links,
        ),
        _rule_info(thresholds, links),
        *_about_tasks(thresholds),
        *_about_rules(thresholds),
    )


def _apps(thresholds: Thresholds, links: Links) -> Iterator[Record]:
    """Yield which apps have data, which are configured as far as anyone can tell, and whose data is withheld."""
    restart, hold = duration(thresholds.restart_seconds), duration(thresholds.hold_seconds)
    yield Record(_AVAILABLE, "max by (account, app_id) (rtcmpu_collection_data_available)")
    # An app that vanishes was removed if its account is still reported; an account, if any exporter still answers.
    yield Record(
        KNOWN_APPS,
        promql(
            """
            <available>
            or
            0 * (last_over_time(<available>[<restart>])
              unless on (account) max by (account) (rtcmpu_exporter_api_throttled_total)
              unless on (account, app_id) <available>)
            or
            0 * (last_over_time(<available>[<hold>])
              unless on () (up{job="<job>"} == 1)
              unless on (account, app_id) <available>)
            """,
            available=_AVAILABLE,
            restart=restart,
            hold=hold,
            job=links.job,
        ),
    )
    # A little longer than the data is missing: what is derived from it comes back a moment later.
    yield Record(WITHHELD_APPS, f"min_over_time({KNOWN_APPS}[{restart}]) == 0 and {KNOWN_APPS}")


def _info(record: str, info: str, *, one_for: str, labels: str, thresholds: Thresholds, links: Links) -> Record:
    """Return an info with one series for each of its subjects, whatever replicas say, bridged as apps are.

    It is looked for longer than the apps, so that it is never the first to go.
    """
    return Record(
        record,
        promql(
            """
            topk by (<one_for>) (1,
              max by (<labels>) (<info>)
              or on (<one_for>)
              max by (<labels>) (last_over_time(<info>[<restart>]))
              or on (<one_for>)
              max by (<labels>) (last_over_time(<info>[<hold>]) unless on () (up{job="<job>"} == 1))
            )
            """,
            one_for=one_for,
            labels=labels,
            info=info,
            restart=duration(2 * thresholds.restart_seconds),
            hold=duration(thresholds.hold_seconds + thresholds.restart_seconds),
            job=links.job,
        ),
    )


def _rule_info(thresholds: Thresholds, links: Links) -> Record:
    """Return what is said of each rule, its owner as `owner`, as apps have it."""
    plain = _info(
        RULE_INFO,
        "rtcmpu_policy_rule_info",
        one_for="rule",
        labels="rule, severity, title, rule_owner, runbook_url",
        thresholds=thresholds,
        links=links,
    )
    return Record(
        RULE_INFO,
        promql(
            """
            label_replace(
              <info>,
              "owner", "$1", "rule_owner", "(.+)"
            )
            """,
            info=plain.expression,
        ),
    )


def _about_tasks(thresholds: Thresholds) -> Iterator[Record]:
    """Yield what alerts need to know of the tasks of apps."""
    hold = duration(thresholds.hold_seconds)
    by_mode = Record(
        "app_mode:rtcmpu_tasks:sum",
        "sum by (account, app_id, mix_mode) (max by (account, app_id, task_region, mix_mode) (rtcmpu_tasks))",
    )
    tasks = Record("app:rtcmpu_tasks:sum", f"sum by (account, app_id) ({by_mode.name})")
    quota_used = Record(
        "app_mode:rtcmpu_task_quota_used:ratio",
        promql(
            """
            app_mode:rtcmpu_tasks:sum
            / on (account, app_id, mix_mode)
            max by (account, app_id, mix_mode) (rtcmpu_task_quota)
            """
        ),
    )
    field_errors = Record(
        "app_field:rtcmpu_task_field_errors:max", "max by (account, app_id, field) (rtcmpu_task_field_errors)"
    )
    # While an app is not up, nobody looks for changes: that none are counted then says nothing.
    changes = Record(
        "app:rtcmpu_task_changes:rate10m",
        promql(
            """
            sum by (account, app_id) (
              max by (account, app_id, change) (rate(rtcmpu_task_changes_total[10m]))
            )
            and on (account, app_id) (max by (account, app_id) (rtcmpu_up) == 1)
            """
        ),
    )
    yield by_mode
    yield from _with_held(tasks, TASKS, hold)
    yield from _with_held(quota_used, QUOTA_USED, hold)
    yield from _with_held(field_errors, FIELD_ERRORS, hold)
    yield from _with_held(changes, CHANGES, hold, of=KNOWN_APPS)


def _about_rules(thresholds: Thresholds) -> Iterator[Record]:
    """Yield what alerts need to know of rules; what is held ends with its rule."""
    hold = duration(thresholds.hold_seconds)
    violations = Record(
        "app_rule:rtcmpu_policy_violations:max",
        "max by (account, app_id, rule, severity) (rtcmpu_policy_violations)",
    )
    oldest = Record(
        "app_rule:rtcmpu_policy_oldest_violation_timestamp_seconds:min",
        "min by (account, app_id, rule, severity) (rtcmpu_policy_oldest_violation_timestamp_seconds)",
    )
    matched = Record(
        "app_rule:rtcmpu_policy_matched_tasks:max",
        promql(
            """
            max by (account, app_id, rule) (
              rtcmpu_policy_evaluated_tasks + rtcmpu_policy_exempted_tasks + rtcmpu_policy_unevaluable_tasks
            )
            """
        ),
    )
    unevaluable = Record(
        "app_rule:rtcmpu_policy_unevaluable_tasks:max",
        "max by (account, app_id, rule) (rtcmpu_policy_unevaluable_tasks)",
    )
    yield from _with_held(violations, VIOLATIONS, hold, while_there=f"on (rule, severity) {RULE_INFO}")
    yield from _with_held(
        oldest, OLDEST_VIOLATION, hold, while_there=f"on (account, app_id, rule, severity) ({VIOLATIONS} > 0)"
    )
    yield from _with_held(matched, MATCHED_TASKS, hold, while_there=f"on (rule) {RULE_INFO}")
    yield from _with_held(unevaluable, UNEVALUABLE_TASKS, hold, while_there=f"on (rule) {RULE_INFO}")
    yield Record(
        RULE_OWNERS,
        promql(
            """
            (<matched> >= bool 0) * on (rule) group_left (owner) <rules>{owner!=""}
            or ignoring (owner)
            (<matched> >= bool 0) * on (account, app_id) group_left (owner) <apps>
            """,
            matched=MATCHED_TASKS,
            rules=RULE_INFO,
            apps=APP_INFO,
        ),
    )


def _with_held(
    plain: Record, held: str, hold: str, *, of: str = WITHHELD_APPS, while_there: str = ""
) -> Iterator[Record]:
    """Yield a record, and the one that goes on with its last value.

    Args:
        plain: The record as it is.
        held: The name of the other.
        hold: For how long at most.
        of: The apps that it goes on for, where the record has no value.
        while_there: What else has to be there, as the right side of an `and`.
    """
    yield plain
    expression = promql(
        """
        <plain>
        or
        last_over_time(<plain>[<hold>])
          and on (account, app_id) <apps>
        """,
        plain=plain.name,
        hold=hold,
        apps=of,
    )
    yield Record(held, expression + (f"\n  and {while_there}" if while_there else ""))
