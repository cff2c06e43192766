"""Prometheus text of the gateway. Names are in seconds and counts; each line says model, version and archive."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "kubetune_gateway_"
STATUSES = (200, 400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 431, 500, 503, 504)
"""What a prediction is answered with. Each has its series from the start: to Prometheus a counter that is born at 1 has
never grown, so the first failures would be seen by no alert (https://prometheus.io/docs/practices/instrumentation/)."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which no rule reads


class Metrics:
    """What was counted since the start.

    Attributes:
        registry: The counted families.
        retries: Requests that were sent again because a worker died.
    """

    def __init__(self, labels: Mapping[str, str]) -> None:
        """Give every line the same labels, one at least."""
        self.registry = CollectorRegistry()
        self._labels = dict(labels)
        requests = Counter(
            f"{PREFIX}requests_total", "Answers to predictions by status.", (*labels, "status"), registry=self.registry
        )
        self._requests = {status: requests.labels(**labels, status=str(status)) for status in STATUSES}
        text = "Seconds from a request's headers to its answer."
        self._seconds = Histogram(
            f"{PREFIX}request_seconds", text, tuple(labels), registry=self.registry, buckets=BUCKETS_S
        ).labels(**labels)
        text = "Requests sent again because a worker died."
        self.retries = Counter(f"{PREFIX}retries_total", text, tuple(labels), registry=self.registry).labels(**labels)

    def observe(self, status: int, seconds: float) -> None:
        """Count one answer; a status that has no series counts as its class's first one (RFC 9110, section 15)."""
        self._requests[status if status in self._requests else status // 100 * 100].inc()
        self._seconds.observe(seconds)

    def render(self, gauges: Mapping[str, tuple[str, float]], counters: Mapping[str, tuple[str, float]]) -> str:
        """Return the text.

        Args:
            gauges: Help and value by name, without prefix.
            counters: The same for what only grows.
        """
        read: list[Metric] = []
        for kind, values in ((CounterMetricFamily, counters), (GaugeMetricFamily, gauges)):
            for name, (text, value) in values.items():
                family = kind(f"{PREFIX}{name}", text, labels=tuple(self._labels))
                family.add_metric(tuple(self._labels.values()), value)
                read.append(family)
        return generate_latest(_Families([*self.registry.collect(), *read])).decode()


@dataclass(frozen=True)
class _Families(Collector):
    """Families as a scrape collects them."""

    families: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families
