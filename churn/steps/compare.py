"""Compare: the challenger at Staging against the champion in production, on the same latest hold-out."""

from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from churn.core.promotion import Decision, decide
from churn.errors import NotReady
from churn.io.lake import Lake, write_json
from churn.io.registry import ModelVersion, Registry
from churn.settings import Settings


@dataclass(frozen=True)
class CompareReport:
    """Whether the challenger may replace the champion, and why."""

    challenger: str | None
    champion: str | None
    promote: bool
    reasons: tuple[str, ...]
    evidence: dict[str, Any]


def compare(settings: Settings) -> CompareReport:
    """Decide and write the decision down; nothing is moved. Raises NotReady when there is no model at all."""
    registry, lake = Registry(settings), Lake(settings.data_home)
    champion, challenger = registry.production(), registry.staging()
    serving = champion.version if champion else None
    if challenger is None:
        if champion is None:
            raise NotReady("there is no model yet: run `churn train` (or the DAG retrain_model) first")
        nothing = "no model waits at stage Staging: there is nothing to compare"
        return CompareReport(None, serving, False, (nothing,), {})
    decision = _decide(registry, lake, champion, challenger)
    report = CompareReport(challenger.version, serving, decision.promote, decision.reasons, dict(decision.evidence))
    write_json(decision_path(lake, challenger.version), asdict(report))
    return report


def decision_path(lake: Lake, challenger: str) -> Path:
    """Where the decision about a challenger is kept."""
    return lake.reports / "decisions" / f"version={challenger}.json"


def _decide(registry: Registry, lake: Lake, champion: ModelVersion | None, challenger: ModelVersion) -> Decision:
    if champion is None:
        return Decision(True, ("the first model: there is none in production to compare it with",), {})
    if challenger.tags["holdout_snapshot"] < champion.tags["holdout_snapshot"]:
        # Dates as text sort as dates.
        return Decision(
            False,
            (
                f"the champion was trained on outcomes of the challenger's hold-out "
                f"({challenger.tags['holdout_snapshot']}): train as of a later date",
            ),
            {},
        )
    path = lake.panel(date.fromisoformat(challenger.tags["as_of"]))
    if not path.is_file():
        return Decision(False, (f"the panel the challenger was measured on is gone: {path}",), {})
    panel = pq.ParquetFile(path).read().to_pandas()
    holdout = panel[panel["as_of"] == panel["as_of"].max()]
    return decide(
        holdout["churned"],
        registry.load(champion).predict_proba(holdout),
        registry.load(challenger).predict_proba(holdout),
        holdout["customer_id"],
    )
