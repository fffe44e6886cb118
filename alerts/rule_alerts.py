"""Alerts about the rules themselves: those that can't do what they were written for, and exemptions that end."""

from collections.abc import Sequence

from alerts import known
from alerts.annotations import annotations
from alerts.joins import with_rule_owner
from alerts.rules import Alert, duration, promql
from alerts.thresholds import Links, Thresholds


def rule_alerts(thresholds: Thresholds, links: Links) -> Sequence[Alert]:
    """Return the alerts about rules and exemptions."""
    return (
        _rule_not_evaluable(thresholds, links),
        _rule_matches_nothing(thresholds, links),
        _exemption_ending(thresholds, links),
    )


def _rule_not_evaluable(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuRuleNotEvaluable"
    return Alert(
        name=name,
        severity="warning",
        expression=with_rule_owner(f"{known.UNEVALUABLE_TASKS} > 0"),
        for_seconds=thresholds.sustained_seconds,
        annotations=annotations(
            name,
            links=links,
            summary="A rule can't be evaluated for some tasks.",
            description=(
                "App {{ $labels.app_id }} of account {{ $labels.account }}, tasks that {{ $labels.rule }} can't be "
                "evaluated for: {{ $value }}. They neither pass nor violate it. Most often a field is missing that the "
                "rule does not guard with has()."
            ),
            dashboard="expectations",
        ),
    )


def _rule_matches_nothing(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuRuleMatchesNothing"
    # A shipped rule may well have nothing to do: `when` counts only where somebody owns the rule. Nothing is said
    # before something is known of every app.
    expression = promql(
        """
        max by (rule, owner) (
          <rules> unless on (rule) <matched>
          or
          <rules>{owner!=""} and on (rule) sum by (rule) (<matched>) == 0
        )
        unless on () (<apps> unless on (account, app_id) <matched>)
        """,
        rules=known.RULE_INFO,
        matched=known.MATCHED_TASKS,
        apps=known.KNOWN_APPS,
    )
    return Alert(
        name=name,
        severity="info",
        expression=expression,
        for_seconds=thresholds.idle_rule_seconds,
        annotations=annotations(
            name,
            links=links,
            summary="A rule matches no task of any app.",
            description=(
                f"{{{{ $labels.rule }}}} has applied to no task for {duration(thresholds.idle_rule_seconds)}. Compare "
                "its apps and when with what there is: `rtcmpu-exporter rules list` shows both."
            ),
            dashboard="rules",
        ),
    )


def _exemption_ending(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuExemptionEnding"
    expression = promql(
        """
        0 < max by (rule, exemption) (
          last_over_time(rtcmpu_policy_exemption_expiry_timestamp_seconds[<restart>])
        ) - time() < <left>
        """,
        restart=duration(thresholds.restart_seconds),
        left=thresholds.exemption_left_seconds,
    )
    return Alert(
        name=name,
        severity="info",
        expression=promql(
            """
            (
              <expression>
            )
            * on (rule) group_left (owner) <rules>
            """,
            expression=expression,
            rules=known.RULE_INFO,
        ),
        annotations=annotations(
            name,
            links=links,
            summary="An exemption from a rule ends soon.",
            description=(
                "Exemption {{ $labels.exemption }} from {{ $labels.rule }} ends in {{ $value | humanizeDuration }}; "
                "then its tasks are violations. Fix them, or agree on a later end in the rule's file."
            ),
            dashboard="rules",
        ),
    )
