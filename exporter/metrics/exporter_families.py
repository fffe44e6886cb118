"""The families about the exporter itself and its rules, as declarations; `self_metrics.py` holds their values."""

from functools import partial
from typing import Any, Final

from exporter.metrics import labels
from exporter.metrics.family import Declaration, Kind, Label


def _declared(kind: Kind, name: str, help_text: str, *label: Label, **more: Any) -> Declaration:
    return Declaration(name=name, kind=kind, help=help_text, labels=label, **more)


_gauge: Final = partial(_declared, "gauge")
_counter: Final = partial(_declared, "counter")
_info: Final = partial(_declared, "info")
_histogram: Final = partial(_declared, "histogram")

RULE_INFO: Final = _info(
    "rtcmpu_policy_rule_info",
    "An active rule; always 1.",
    labels.RULE,
    labels.SEVERITY,
    Label("title", meaning="The rule's title."),
    Label("rule_owner", meaning="The rule's owner; may be empty."),
    Label("runbook_url", meaning="The rule's runbook; may be empty."),
    note="When a reload removes the rule, the series and the alerts about it end.",
)
EXEMPTION_EXPIRY: Final = _gauge(
    "rtcmpu_policy_exemption_expiry_timestamp_seconds",
    "Unix time at which an exemption from a rule ends.",
    labels.RULE,
    Label("exemption", meaning="The exemption's name."),
    note="Also when it has passed; absent without an end.",
)
BUILD_INFO: Final = _info(
    "rtcmpu_exporter_build_info",
    "Version and Git commit of the exporter; always 1.",
    Label("version", meaning="The exporter's version."),
    Label("revision", meaning="The Git commit of a wheel or image; `unknown` without a release build."),
    Label("python_version", meaning="Python's version."),
)
CONFIG_INFO: Final = _info(
    "rtcmpu_exporter_config_info",
    "Active configuration; always 1.",
    Label("sha256", meaning="Digest of the configuration."),
)
CONFIG_LAST_RELOAD_SUCCESSFUL: Final = _gauge(
    "rtcmpu_exporter_config_last_reload_successful",
    "1 if the last load of the configuration succeeded, else 0.",
    note="While it is 0, the previous configuration stays active.",
)
CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP: Final = _gauge(
    "rtcmpu_exporter_config_last_reload_success_timestamp_seconds",
    "Unix time at which the configuration was last loaded successfully.",
)
CONFIG_UNMATCHED_PATTERNS: Final = _gauge(
    "rtcmpu_exporter_config_unmatched_patterns",
    "Patterns of app_files and rule_files in the active configuration that match no file.",
)
WEB_CONFIG_LAST_RELOAD_SUCCESSFUL: Final = _gauge(
    "rtcmpu_exporter_web_config_last_reload_successful",
    "1 if the last load of the web configuration succeeded, else 0; absent without one.",
    note="While it is 0, the previous web configuration stays active.",
)
API_REQUESTS: Final = _counter(
    "rtcmpu_exporter_api_requests_total",
    "Requests sent to the API since the start, by outcome; every retry counts.",
    labels.ACCOUNT,
    labels.OUTCOME,
)
API_RETRIES: Final = _counter(
    "rtcmpu_exporter_api_retries_total",
    "Requests retried since the start, by the outcome of the previous attempt.",
    labels.ACCOUNT,
    labels.RETRY_REASON,
)
API_THROTTLED: Final = _counter(
    "rtcmpu_exporter_api_throttled_total", "API responses that signalled throttling, since the start.", labels.ACCOUNT
)
API_REQUEST_DURATION: Final = _histogram(
    "rtcmpu_exporter_api_request_duration_seconds",
    "Duration of API requests, from sending to the end of the response or the failure.",
    labels.ACCOUNT,
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
RATE_LIMIT_WAIT: Final = _histogram(
    "rtcmpu_exporter_rate_limit_wait_seconds",
    "Time that API requests waited for the rate limiter.",
    labels.ACCOUNT,
    labels.PRIORITY,
    buckets=(0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
RATE_LIMIT_REQUESTS_PER_SECOND: Final = _gauge(
    "rtcmpu_exporter_rate_limit_requests_per_second",
    "Effective request budget: the configured one, or less after throttling.",
    labels.ACCOUNT,
)
SWEEPS_SKIPPED: Final = _counter(
    "rtcmpu_exporter_sweeps_skipped_total",
    "Sweeps that were due and did not start, since the start.",
    labels.ACCOUNT,
    labels.APP_ID,
    labels.SKIP_REASON,
)
CLOCK_SKEW: Final = _gauge(
    "rtcmpu_exporter_clock_skew_seconds",
    "The API's clock minus this machine's, at the last response.",
    labels.ACCOUNT,
    note="Absent before the first response.",
)
CREDENTIALS_INFO: Final = _info(
    "rtcmpu_exporter_credentials_info",
    "Source of the access key in use; always 1.",
    labels.ACCOUNT,
    labels.CREDENTIALS_SOURCE,
    note="Absent while there is no key.",
)
CREDENTIALS_EXPIRY: Final = _gauge(
    "rtcmpu_exporter_credentials_expiry_timestamp_seconds",
    "Unix time at which the temporary credentials in use expire.",
    labels.ACCOUNT,
    note="Absent for credentials that do not expire. They are renewed in advance.",
)
RENDER_DURATION: Final = _gauge(
    "rtcmpu_exporter_render_duration_seconds",
    "Duration of the last rendering of changed families, in seconds.",
    labels.PATH,
)
SERIES: Final = _gauge(
    "rtcmpu_exporter_series", "Published series about apps, without those about the exporter.", labels.PATH
)
SERIES_OMITTED: Final = _gauge(
    "rtcmpu_exporter_series_omitted", "Series left out because a configured limit is reached.", labels.PATH
)
EVENT_LOOP_LAG: Final = _gauge(
    "rtcmpu_exporter_event_loop_lag_seconds", "Longest event loop delay within the last 60 seconds, in seconds."
)
STORAGE_UP: Final = _gauge(
    "rtcmpu_exporter_storage_up",
    "1 if the database could be used at the last attempt, else 0; absent without `storage`.",
    note="While it is 0, collection goes on and what is new waits in memory.",
)
STORAGE_WRITE_LAG: Final = _gauge(
    "rtcmpu_exporter_storage_write_lag_seconds",
    "Age of the oldest reading that is not in the database yet, in seconds.",
)
STORAGE_SIZE: Final = _gauge(
    "rtcmpu_exporter_storage_size_bytes",
    "Size of the database on its disk, indexes and write-ahead log included, in bytes.",
)
STORAGE_CHANGES_LOST: Final = _counter(
    "rtcmpu_exporter_storage_changes_lost_total",
    "Changes of tasks that were not written to the database because too many waited for it, since the start.",
)
LEASE_HELD: Final = _gauge(
    "rtcmpu_exporter_lease_held",
    "1 if this exporter holds the lease of the account's request budget, else 0; absent without `sharing`.",
    labels.ACCOUNT,
    note="An app's series come from the holder. Without database the last holder continues at the fallback rate.",
)
LEASE_TAKEOVERS: Final = _counter(
    "rtcmpu_exporter_lease_takeovers_total",
    "How often this exporter took the lease of the account's request budget, since the start.",
    labels.ACCOUNT,
)
LEASE_UNHELD: Final = _gauge(
    "rtcmpu_exporter_lease_unheld_seconds",
    "Time since any exporter held the lease of the account's request budget, as far as this one knows, in seconds.",
    labels.ACCOUNT,
)
INTERNAL_ERRORS: Final = _counter(
    "rtcmpu_exporter_internal_errors_total",
    "Unexpected exceptions in the exporter since the start; each is a bug.",
    labels.PART,
    note="The log has a traceback of the first one in each place. The state of an affected app is `internal_error`.",
)
HTTP_REQUESTS: Final = _counter(
    "rtcmpu_exporter_http_requests_total",
    "HTTP requests answered since the start.",
    labels.PATH,
    Label("code", meaning="The HTTP status."),
)
LOG_MESSAGES: Final = _counter(
    "rtcmpu_exporter_log_messages_total", "Log messages written since the start.", labels.LEVEL
)

RULE_FAMILIES: Final = (RULE_INFO, EXEMPTION_EXPIRY)  # in the order of the exposition
EXPORTER_FAMILIES: Final = tuple(
    value for value in tuple(vars().values()) if isinstance(value, Declaration) and value not in RULE_FAMILIES
)
"""In the order of the exposition, which is that of this file."""
