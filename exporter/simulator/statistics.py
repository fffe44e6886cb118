"""What arrived and what became of it: what tests hold against their expectations."""

from collections import Counter, deque
from typing import Any

from exporter.simulator.listing import Parameters


class Statistics:
    """Counts since the start."""

    def __init__(self) -> None:
        self.requests = 0
        self.by_app: Counter[str] = Counter()
        self.by_kind: Counter[str] = Counter()
        self.by_error: Counter[str] = Counter()
        self.by_fault: Counter[str] = Counter()
        self.rejected_by_quota: Counter[str] = Counter()
        """By access key id."""
        self.busiest_second: dict[str, int] = {}
        """By access key id: the greatest number of requests within any one second."""
        self._arrivals: dict[str, deque[float]] = {}

    def arrived(self, access_key_id: str, parameters: Parameters, now: float) -> None:
        """Count a request that its account signed."""
        self.by_app[parameters.app_id] += 1
        self.by_kind[parameters.kind] += 1
        arrivals = self._arrivals.setdefault(access_key_id, deque())
        while arrivals and arrivals[0] <= now - 1:
            arrivals.popleft()
        arrivals.append(now)
        self.busiest_second[access_key_id] = max(self.busiest_second.get(access_key_id, 0), len(arrivals))

    def as_json(self) -> dict[str, Any]:
        """Return everything as what JSON can say."""
        return {
            "requests": self.requests,
            "by_app": dict(self.by_app),
            "by_kind": dict(self.by_kind),
            "by_error": dict(self.by_error),
            "by_fault": dict(self.by_fault),
            "rejected_by_quota": dict(self.rejected_by_quota),
            "busiest_second": self.busiest_second,
            "nonce_reuses": self.by_error["SignatureNonceUsed"],
            "signature_failures": self.by_error["SignatureDoesNotMatch"],
        }
