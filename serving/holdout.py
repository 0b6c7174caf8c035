"""The hold-out of a version as its training wrote it down."""

import logging
from typing import Any

from pydantic import ValidationError

from churn.core.model import CORE, FULL
from serving.explain_schemas import CalibrationInfo, EstimateInfo, Evaluation, ProfitInfo
from serving.served import Served

_LOG = logging.getLogger(__name__)


def evaluation_of(served: Served) -> Evaluation:
    """Of the model that makes the nightly list; empty lists and nulls where the version has nothing on record."""
    try:
        return _evaluation(served)
    except (ValidationError, TypeError, ValueError, AttributeError) as e:
        # What is on record was written by another code, or by hand: the version serves all the same.
        _LOG.warning(
            "a hold-out's record cannot be read", extra={"model_version": served.version.version, "error": str(e)}
        )
        return Evaluation(
            model_version=served.version.version, model=FULL if served.full is not None else CORE, holdout=None,
            customers=None, churned=None, churn_rate=None, metrics={}, calibration=[], profit=[],
        )  # fmt: skip


def _evaluation(served: Served) -> Evaluation:
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
