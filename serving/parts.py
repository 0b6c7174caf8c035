"""What the endpoints answer from."""

from dataclasses import dataclass

import anyio
from fastapi import Request

from churn.io.checks import Checks
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from serving.scores import ScoreWatch
from serving.slot import ModelSlot


@dataclass(frozen=True)
class Parts:
    """Made once, in the application; each endpoint takes what it needs."""

    settings: Settings
    slot: ModelSlot
    scores: ScoreWatch
    book: ScoreBook
    checks: Checks
    batches: anyio.CapacityLimiter
    """Batches at work at the same time: each holds a few hundred megabytes at most."""


def parts_of(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts
