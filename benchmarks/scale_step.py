"""One step of a night in a process of its own, as Airflow runs it: ``python -m benchmarks.scale_step STEP [AS_OF]``

The settings are the environment's. Says `start` once the step is imported, `stop` when it has returned, and its report
as JSON.
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date
from importlib import import_module
from typing import Any

from benchmarks.plain_features import mark, say
from churn.settings import Settings

STEPS: Mapping[str, str] = {
    "ingest": "churn.steps.ingest:ingest_or_refuse",
    "features": "churn.steps.build_features:build_features",
    "validate": "churn.steps.validate_features:validate_features",
    "publish": "churn.steps.score:publish_scores",
    "drift": "churn.steps.check_drift:check_drift",
}
"""The tasks of the DAGs `ingest_events` and `score_nightly` that compute, in order, and what they call. There is one
shard, as by default: `publish` computes its scores itself."""
TRAIN = {"train": "churn.steps.train:train"}


def main(name: str, as_of: str | None = None) -> None:
    """Call it."""
    module, _, function = {**STEPS, **TRAIN}[name].partition(":")
    step: Callable[..., Any] = getattr(import_module(module), function)
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    mark("start")
    report = step(settings, *([date.fromisoformat(as_of)] if as_of else []))
    mark("stop")
    say(json.dumps(asdict(report), default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
