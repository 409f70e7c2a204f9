"""What Prometheus is told of a service."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from fiftyone_ssa.serve.labeller import Labeller

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
PICTURES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The counters of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "ssa_requests", "Answered requests", ("method", "path", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "ssa_request_seconds",
            "From a request's headers to its answer",
            ("path",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.pictures = Counter("ssa_pictures", "Pictures by outcome", ("outcome",), registry=self.registry)
        self.masks = Counter("ssa_masks", "Masks that were answered", registry=self.registry)
        self.batch = Histogram(
            "ssa_batch_pictures",
            "Pictures that went through the models together",
            buckets=PICTURES,
            registry=self.registry,
        )
        self.waiting = Gauge("ssa_waiting_requests", "Requests taken and not answered yet", registry=self.registry)

    def watch(self, labeller: Labeller) -> None:
        """Tell how many requests wait."""
        self.waiting.set_function(lambda: labeller.reserved)

    def answered(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count one request; `path` is a route, or `other`: a stranger's inventions are no labels of ours."""
        self.requests.labels(method, path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        text: bytes = generate_latest(self.registry)
        return text
