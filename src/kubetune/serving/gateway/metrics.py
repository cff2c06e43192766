"""Prometheus text of the gateway. Names are in seconds and counts; each line says model, version and archive."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "kubetune_gateway_"
STATUSES = (200, 400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 431, 500, 503, 504)
"""What a prediction is answered with. Each has its series from the start: to Prometheus a counter that is born at 1 has
never grown, so the first failures would be seen by no alert (https://prometheus.io/docs/practices/instrumentation/)."""


@dataclass
class Metrics:
    """What was counted since the start.

    Attributes:
        labels: Labels of every line.
        requests: Answers to predictions by status.
        retries: Requests that were sent again because a worker died.
    """

    labels: Mapping[str, str]
    requests: Counter[int] = field(default_factory=lambda: Counter(dict.fromkeys(STATUSES, 0)))
    retries: int = 0
    _buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    _seconds: float = 0.0

    def observe(self, status: int, seconds: float) -> None:
        """Count one answer; a status that has no series counts as its class's first one (RFC 9110, section 15)."""
        self.requests[status if status in self.requests else status // 100 * 100] += 1
        self._buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self._seconds += seconds

    def render(self, gauges: Mapping[str, tuple[str, float]], counters: Mapping[str, tuple[str, float]]) -> str:
        """Return the text.

        Args:
            gauges: Help and value by name, without prefix.
            counters: The same for what only grows.
        """
        lines: list[str] = []
        self._head(lines, "requests_total", "counter", "Answers to predictions by status.")
        for status, count in sorted(self.requests.items()):
            lines.append(self._line("requests_total", count, status=str(status)))
        self._head(lines, "request_seconds", "histogram", "Seconds from a request's headers to its answer.")
        total = 0
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), self._buckets, strict=True):
            total += count
            lines.append(self._line("request_seconds_bucket", total, le=bound))
        lines += [self._line("request_seconds_sum", self._seconds), self._line("request_seconds_count", total)]
        counted = {"retries_total": ("Requests sent again because a worker died.", float(self.retries)), **counters}
        for kind, values in (("counter", counted), ("gauge", gauges)):
            for name, (text, value) in values.items():
                self._head(lines, name, kind, text)
                lines.append(self._line(name, value))
        return "\n".join(lines) + "\n"

    @staticmethod
    def _head(lines: list[str], name: str, kind: str, text: str) -> None:
        lines += [f"# HELP {PREFIX}{name} {text}", f"# TYPE {PREFIX}{name} {kind}"]

    def _line(self, name: str, value: float, **extra: str) -> str:
        labels = ",".join(f'{label}="{text}"' for label, text in {**self.labels, **extra}.items())
        return f"{PREFIX}{name}{{{labels}}} {value!r}" if value % 1 else f"{PREFIX}{name}{{{labels}}} {int(value)}"
