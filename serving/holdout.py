"""The hold-out of a version as its training wrote it down."""

from typing import Any

from churn.core.model import CORE, FULL
from serving.explain_schemas import CalibrationInfo, EstimateInfo, Evaluation, ProfitInfo
from serving.served import Served


def evaluation_of(served: Served) -> Evaluation:
    """Of the model that makes the nightly list; empty lists and nulls where the version has nothing on record."""
    name = FULL if served.full is not None else CORE
    found: dict[str, Any] = served.evaluation.get("holdout", {}).get(name, {})
    rows, churned = found.get("rows"), found.get("churned")
    curve = found.get("profit_curve", {})
    columns = [curve.get(column, []) for column in ProfitInfo.model_fields]
    return Evaluation(
        model_version=served.version.version,
        model=name,
        holdout=served.version.tags.get("holdout_snapshot"),  # type: ignore[arg-type]  # pydantic reads the date
        customers=found.get("customers"),
        churned=churned,
        churn_rate=churned / rows if rows else None,
        metrics={metric: EstimateInfo(**estimate) for metric, estimate in found.get("metrics", {}).items()},
        calibration=[CalibrationInfo(**tenth) for tenth in found.get("calibration", [])],
        profit=[ProfitInfo(**dict(zip(ProfitInfo.model_fields, row, strict=True))) for row in zip(*columns)],
    )
