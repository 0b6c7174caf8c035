"""The simulated log: how near the model comes to the true hazard on the hold-out's next 14 days."""

import tempfile
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from churn.core.oracle import OracleResult
from churn.settings import Settings
from churn.steps.evaluate import evaluate
from churn.steps.ingest import ingest
from churn.steps.simulate import simulate

_START = date(2026, 1, 1)


def compare_with_truth(*, customers: int, days: int, trials: int, say: Callable[[str], None]) -> OracleResult:
    """Generate a log, ingest it and evaluate by the honest protocol against its truth, in a throwaway data home."""
    with tempfile.TemporaryDirectory(prefix="churn-simulated-") as home:
        settings = Settings(home=Path(home), search_trials=trials, _env_file=None)  # type: ignore[call-arg]
        log = Path(home) / "log"
        simulate(log, customers=customers, days=days, seed=settings.demo_seed, start=_START)
        ingest(settings, [log])
        found = evaluate(
            settings, _START + timedelta(days=days), protocol="honest", oracle=True, truth=log / "truth.parquet",
            progress=lambda said: say(f"  {said}"),
        )  # fmt: skip
    assert found.oracle is not None  # it was asked for
    return found.oracle
