"""Recording rules for what dashboards and people sum often. None of the alerts needs them."""

from collections.abc import Sequence

from alerts.rules import Record, promql


def sums() -> Sequence[Record]:
    """Return the records; replicas are one, and sums over several apps stand beside how many of them have data."""
    return (
        Record("app_region_mode:rtcmpu_tasks:max", "max by (account, app_id, task_region, mix_mode) (rtcmpu_tasks)"),
        Record("account:rtcmpu_tasks:sum", "sum by (account) (app_region_mode:rtcmpu_tasks:max)"),
        Record("region_mode:rtcmpu_tasks:sum", "sum by (task_region, mix_mode) (app_region_mode:rtcmpu_tasks:max)"),
        Record("fleet:rtcmpu_tasks:sum", "sum(app_region_mode:rtcmpu_tasks:max)"),
        Record(
            "app_cdn:rtcmpu_task_outputs:sum",
            "sum by (account, app_id, cdn) (max by (account, app_id, cdn, scheme) (rtcmpu_task_outputs))",
        ),
        Record(
            "app_cdn:rtcmpu_task_configured_egress_bits_per_second:sum",
            promql(
                """
                8 * sum by (account, app_id, cdn) (
                  max by (account, app_id, task_region, cdn) (rtcmpu_task_configured_egress_bytes_per_second)
                )
                """
            ),
        ),
        *_fleet_too("app_cdn:rtcmpu_task_configured_egress_bits_per_second:sum", "configured_egress"),
        *_bitrate("video"),
        *_bitrate("audio"),
        Record(
            "app_severity:rtcmpu_policy_violations:sum",
            promql(
                """
                sum by (account, app_id, severity) (
                  max by (account, app_id, rule, severity) (rtcmpu_policy_violations)
                )
                """
            ),
        ),
        Record(
            "severity:rtcmpu_policy_violations:sum", "sum by (severity) (app_severity:rtcmpu_policy_violations:sum)"
        ),
        Record(
            "account:rtcmpu_collection_data_available:sum",
            "sum by (account) (max by (account, app_id) (rtcmpu_collection_data_available))",
        ),
        Record(
            "account:rtcmpu_collection_data_available:count",
            "count by (account) (max by (account, app_id) (rtcmpu_collection_data_available))",
        ),
        Record("fleet:rtcmpu_collection_data_available:sum", "sum(account:rtcmpu_collection_data_available:sum)"),
        Record("fleet:rtcmpu_collection_data_available:count", "sum(account:rtcmpu_collection_data_available:count)"),
        Record(
            "account_outcome:rtcmpu_exporter_api_requests:rate5m",
            "sum by (account, outcome) (rate(rtcmpu_exporter_api_requests_total[5m]))",
        ),
        Record(
            "account:rtcmpu_exporter_api_requests_failed:ratio_rate5m",
            promql(
                """
                sum by (account) (account_outcome:rtcmpu_exporter_api_requests:rate5m{outcome!="ok"})
                / on (account)
                sum by (account) (account_outcome:rtcmpu_exporter_api_requests:rate5m)
                """
            ),
        ),
    )


def _fleet_too(record: str, what: str) -> Sequence[Record]:
    """Return the sums over an account and over all of a record of bits per second."""
    return (
        Record(f"account:rtcmpu_task_{what}_bits_per_second:sum", f"sum by (account) ({record})"),
        Record(f"fleet:rtcmpu_task_{what}_bits_per_second:sum", f"sum({record})"),
    )


def _bitrate(kind: str) -> Sequence[Record]:
    """Return the configured bitrate of video or audio, each task once, whatever its outputs."""
    by_app = Record(
        f"app:rtcmpu_task_{kind}_bitrate_bits_per_second:sum",
        promql(
            """
            8 * sum by (account, app_id) (
              max by (account, app_id, task_region, mix_mode) (rtcmpu_task_<kind>_bitrate_bytes_per_second_gsum)
            )
            """,
            kind=kind,
        ),
    )
    return by_app, *_fleet_too(by_app.name, f"{kind}_bitrate")
