"""What the endpoints answer from."""

from dataclasses import dataclass

import anyio
from fastapi import Request

from churn.io.checks import Checks
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from serving.guard import Guard
from serving.prediction_log import PredictionLog
from serving.scores import ScoreWatch
from serving.served import Score, Scores
from serving.slot import ModelSlot
from serving.telemetry import Telemetry
from serving.traffic import Traffic


@dataclass(frozen=True)
class Parts:
    """Made once, in the application; each endpoint takes what it needs."""

    settings: Settings
    slot: ModelSlot
    scores: ScoreWatch
    book: ScoreBook
    checks: Checks
    guard: Guard
    telemetry: Telemetry
    traffic: Traffic
    log: PredictionLog
    batches: anyio.CapacityLimiter
    """Batches at work at the same time: each holds a few hundred megabytes at most."""

    def counted(self, version: str, role: str, score: Score) -> None:
        """Count one customer scored, for Prometheus and for MLflow. From the event loop only."""
        self.telemetry.count(version, role, score.probability, score.decision)
        self.traffic.count(version, score.probability, score.decision)

    def counted_many(self, version: str, role: str, scores: Scores) -> None:
        """The same of a batch, from any thread."""
        self.telemetry.count_many(version, role, scores.probability, scores.decision)
        self.traffic.count_many(version, scores.probability, scores.decision)


def parts_of(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts
