"""What an earlier start left: a model at stage Production, published scores.

``python -m deploy.local.state FILE`` writes all of it there as JSON: a child that ends, because the registry's client
costs seconds and 250 MB that a supervisor should not keep for the day. The scores alone are cheap to read.
"""

import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from churn.io.scorebook import ScoreBook
from churn.settings import Settings


@dataclass(frozen=True)
class State:
    """``as_of`` (ISO date), ``customers`` and ``scored_by`` describe the latest scores, if there are any."""

    production: str | None = None
    as_of: str | None = None
    customers: int | None = None
    scored_by: str | None = None

    def scored(self, as_of: str) -> bool:
        """Whether the latest scores are of this date and of the model in production."""
        return self.as_of == as_of and self.scored_by == self.production

    @classmethod
    def read(cls, path: Path) -> Self:
        return cls(**json.loads(path.read_text()))

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))


def scores(settings: Settings) -> State:
    """The latest scores; says nothing about the model."""
    latest = ScoreBook(settings.score_database).latest()
    if latest is None:
        return State()
    return State(as_of=latest.as_of.isoformat(), customers=latest.customers, scored_by=str(latest.model_version))


def everything(settings: Settings) -> State:
    from churn.io.registry import Registry  # here, because it imports MLflow

    model = Registry(settings).production()
    return replace(scores(settings), production=None if model is None else str(model.version))


if __name__ == "__main__":
    everything(Settings()).write(Path(sys.argv[1]))
