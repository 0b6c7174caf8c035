"""What the service counts, as Prometheus asks for it. Counting touches memory only."""

import math
import os
from functools import cache

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

from serving.check_figures import FIGURES

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BINS = 20
"""Of the probabilities."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Telemetry:
    """Counters of one application. Those of several worker processes are added up when they are read."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._several = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        self.requests = Counter(
            "churn_requests", "Answers, by endpoint and status", ["endpoint", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "churn_request_seconds", "From a request's first byte to its answer's last", ["endpoint"],
            registry=self._registry, buckets=_SECONDS,
        )  # fmt: skip
        self.predictions = Counter(
            "churn_predictions", "Customers scored, by version and its role", ["model_version", "role"],
            registry=self._registry,
        )  # fmt: skip
        self.contacts = Counter(
            "churn_predictions_to_contact", "Customers scored at or above the threshold", ["model_version"],
            registry=self._registry,
        )  # fmt: skip
        # Not a histogram: that takes one observation at a time, and a batch has a hundred thousand.
        self.probabilities = Counter(
            "churn_probabilities", "Probabilities that were answered, in twentieths", ["model_version", "up_to"],
            registry=self._registry,
        )  # fmt: skip
        self.model = self._gauge("churn_model_version", "The version that is served; 0: none yet")
        self.since = self._gauge("churn_model_since_seconds", "When this process took it, in epoch seconds")
        self.challenger = self._gauge("churn_challenger_version", "The version at Staging that takes part; 0: none")
        self.reload_failures = self._gauge(
            "churn_model_reload_failures", "Versions that could not be taken, and looks the registry did not answer"
        )
        self.registry_up = self._gauge("churn_registry_up", "Whether the last look at the registry was answered")
        self.scores_up = self._gauge("churn_scores_up", "Whether the score book answered when it was last asked")
        self.scores_age = self._found("churn_scores_age_days", "Days from the published scores' cut-off to today")
        self.scored = self._gauge("churn_scores_customers", "Customers in the newest published scores")
        self.checks_up = self._gauge("churn_checks_up", "Whether the table of checks answered when it was last asked")
        self.checks = {
            what: [(self._found(figure.name, figure.meaning), figure.of) for figure in figures]
            for what, figures in FIGURES.items()
        }
        self.at_work = self._gauge("churn_requests_at_work", "Requests that are being answered", "livesum")
        self.batches_waiting = self._gauge("churn_batches_waiting", "Batches that wait for their turn", "livesum")
        self.log_waiting = self._gauge("churn_prediction_log_waiting", "Predictions not written yet", "livesum")
        self.log_written = self._gauge("churn_prediction_log_written", "Predictions written to the log", "livesum")
        self.log_dropped = self._gauge("churn_prediction_log_dropped", "Predictions the log had no room for", "livesum")
        # A label's child is looked up under a lock; the few there are, once.
        self.answered = cache(self._answered)
        self.scored_by = cache(self._scored_by)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        registry = self._registry
        if self._several:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def count(self, version: str, role: str, probability: float, decision: int) -> None:
        """One customer scored."""
        by_role, contacts, twentieths = self.scored_by(version, role)
        by_role.inc()
        twentieths[min(int(probability * _BINS), _BINS - 1)].inc()
        if decision:
            contacts.inc()

    def count_many(
        self, version: str, role: str, probability: NDArray[np.float64], decision: NDArray[np.int64]
    ) -> None:
        """Many customers scored."""
        by_role, contacts, twentieths = self.scored_by(version, role)
        by_role.inc(len(probability))
        contacts.inc(int(decision.sum()))
        places = np.minimum((probability * _BINS).astype(np.int64), _BINS - 1)
        for counter, found in zip(twentieths, np.bincount(places, minlength=_BINS).tolist(), strict=True):
            counter.inc(found)

    def _answered(self, endpoint: str, status: int) -> tuple[Counter, Histogram]:
        return self.requests.labels(endpoint, str(status)), self.seconds.labels(endpoint)

    def _scored_by(self, version: str, role: str) -> tuple[Counter, Counter, tuple[Counter, ...]]:
        return (
            self.predictions.labels(version, role),
            self.contacts.labels(version),
            tuple(self.probabilities.labels(version, f"{(n + 1) / _BINS:g}") for n in range(_BINS)),
        )

    def _found(self, name: str, meaning: str) -> Gauge:
        """Of what is found once a night: until then no number, and of several processes the last one's word."""
        gauge = self._gauge(name, meaning, "livemostrecent")
        gauge.set(math.nan)
        return gauge

    def _gauge(self, name: str, meaning: str, mode: str = "livemax") -> Gauge:
        return Gauge(name, meaning, registry=self._registry, multiprocess_mode=mode)  # type: ignore[arg-type]
