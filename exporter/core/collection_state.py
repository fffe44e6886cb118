"""The state of reading one app: the closed set of states, least bad first."""

from enum import StrEnum


class State(StrEnum):
    """The state of an app's collection, and the outcome of an update, sweep or request; least bad first."""

    OK = "ok"
    PENDING = "pending"
    PARTIAL = "partial"
    LIMIT_EXCEEDED = "limit_exceeded"
    THROTTLED = "throttled"
    TIMEOUT = "timeout"
    NETWORK_ERROR = "network_error"
    SERVER_ERROR = "server_error"
    INVALID_RESPONSE = "invalid_response"
    REQUEST_REJECTED = "request_rejected"
    INTERNAL_ERROR = "internal_error"
    APP_INVALID = "app_invalid"
    NOT_ENABLED = "not_enabled"
    AUTH_ERROR = "auth_error"

    @property
    def badness(self) -> int:
        """The place in the order of declaration: 0 is fine."""
        return _ORDER[self]


class Component(StrEnum):
    """What of the exporter an internal error can be in."""

    UPDATE = "update"
    SWEEP = "sweep"
    RULES = "rules"
    STATUS = "status"
    SCHEDULE = "schedule"
    COLLECT_NOW = "collect_now"
    CHECK_SUMS = "check_sums"
    PUBLISH = "publish"
    PUBLISH_TASKS = "publish_tasks"
    STORAGE = "storage"
    LEASES = "leases"
    WATCH_FILES = "watch_files"
    WATCH_WEB_FILES = "watch_web_files"
    RELOAD = "reload"
    HEARTBEAT = "heartbeat"
    TRENDS = "trends"


_ORDER = {state: place for place, state in enumerate(State)}
