"""Compare: the challenger at Staging against the champion in production, on the same latest hold-out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from churn.core.promotion import Decision, decide
from churn.errors import ContractViolation, NotReady
from churn.io.lake import Lake, fingerprint, write_json
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


def compare(settings: Settings, version: str | None = None) -> CompareReport:
    """Decide about a version (default: the one at Staging) and write the decision down; nothing is moved.

    The full models are compared; a version without one that takes the panel's features is measured by its core.
    Raises NotReady when there is no model at all, BadInput for a version that does not exist.
    """
    registry, lake = Registry(settings), Lake(settings.data_home)
    champion, challenger = registry.production(), registry.version(version) if version else registry.staging()
    serving = champion.version if champion else None
    if challenger is None:
        if champion is None:
            raise NotReady("there is no model to compare: run `churn train` (or the DAG retrain_model) first")
        return CompareReport(
            None, serving, False, ("no model waits at stage Staging: there is nothing to compare",), {}
        )
    if challenger.version == serving:
        return CompareReport(serving, serving, False, (f"version {serving} is in production already",), {})
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
    if fault := _not_comparable(lake, champion.tags, challenger.tags):
        return Decision(False, (fault,), {})
    panel = pq.ParquetFile(_panel(lake, challenger.tags)).read().to_pandas()
    holdout = panel[panel["as_of"] == panel["as_of"].max()]
    _, new = registry.load(challenger).best_for(list(holdout.columns))
    try:
        _, old = registry.load(champion).best_for(list(holdout.columns))
    except ContractViolation as e:
        way_out = f"archive version {champion.version} in MLflow; without a champion the challenger needs no comparison"
        return Decision(False, (f"the champion cannot be read, so that nothing is compared: {e}", way_out), {})
    before, after = old.predict_proba(holdout), new.predict_proba(holdout)
    if np.array_equal(before, after) and old.threshold != new.threshold:
        why = f"the same probabilities; the business figures move the threshold from {old.threshold} to {new.threshold}"
        return Decision(True, (why,), {})
    return decide(holdout["churned"], before, after, holdout["customer_id"])


def _not_comparable(lake: Lake, champion: Mapping[str, str], challenger: Mapping[str, str]) -> str | None:
    """Why the two cannot be measured on the challenger's hold-out, or None."""
    for name in ("as_of", "holdout_snapshot", "contract", "horizon_days", "panel_sha256"):
        for who, tags in (("champion", champion), ("challenger", challenger)):
            if name not in tags:
                return f"the {who} has no tag {name!r}: it was not registered by `churn train`"
    for name in ("contract", "horizon_days"):
        if champion[name] != challenger[name]:
            return f"they answer different questions: {name} {champion[name]} and {challenger[name]}"
    if challenger["holdout_snapshot"] < champion["holdout_snapshot"]:  # dates as text sort as dates
        return (
            f"the champion was trained on outcomes of the challenger's hold-out ({challenger['holdout_snapshot']}): "
            "train as of a later date"
        )
    path = _panel(lake, challenger)
    if not path.is_file() or fingerprint(path) != challenger["panel_sha256"]:
        return f"the panel the challenger was measured on is gone or has changed ({path}): train again"
    return None


def _panel(lake: Lake, tags: Mapping[str, str]) -> Path:
    return lake.panel(date.fromisoformat(tags["as_of"]))
