"""Performance: a version's scores against what happened, pooled over the nights that matured last."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from churn.core.assessment import Assessment, assess
from churn.core.evaluation import Economics, evaluate
from churn.core.events import SourceContract
from churn.core.expected_performance import ExpectedPerformance, expected_performance
from churn.core.realised_performance import POOLED_NIGHTS, Verdict, judge
from churn.io.lake import Lake
from churn.io.outcomes import outcomes
from churn.steps.published_nights import KINDS, Night

RESAMPLES = 500
"""Of each interval. A hold-out gets 1,000; every night half of them do: 18 seconds for a week of 17,772 customers, and
an end moves by a thirtieth of the width from seed to seed (standard deviation)."""
_SHOWN = ("roc_auc", "log_loss", "brier", "precision", "recall", "ece", "lift_at_10", "profit")


@dataclass(frozen=True)
class Realised:
    """Scores that have met their outcomes."""

    nights: tuple[date, ...]
    assessment: Assessment
    churned_customers: int
    expected: ExpectedPerformance
    """What the very same scores had said of themselves."""
    verdict: Verdict


@dataclass(frozen=True)
class NightLine:
    """One night of a version: what its scores expected, and the same figures of what happened once it is known."""

    as_of: date
    expected: ExpectedPerformance
    realised: Mapping[str, float] | None


def mature(nights: Sequence[Night], known_until: date, horizon_days: int) -> list[Night]:
    """Those whose horizon has passed in the data."""
    return [night for night in nights if night.as_of + timedelta(days=horizon_days) <= known_until]


def with_outcomes(
    lake: Lake, nights: Sequence[Night], as_of: date, contract: SourceContract, *, megabytes: int | None = None
) -> pd.DataFrame:
    """The scores of all nights with ``as_of`` and ``churned`` beside them, a row for each night and customer.

    Only events before ``as_of`` are read.
    """
    rows = pd.concat([night.scores.assign(as_of=night.as_of) for night in nights], ignore_index=True)
    return rows.assign(churned=outcomes(lake, rows, as_of, contract, megabytes=megabytes))


def realised(
    rows: pd.DataFrame, threshold: float, economics: Economics, holdout_roc_auc: float | None
) -> Realised | None:
    """The last of these nights and those of the week up to it, judged together; None without any."""
    if not len(rows):
        return None
    pooled = rows[rows["as_of"] > rows["as_of"].max() - timedelta(days=POOLED_NIGHTS)]
    segments = {kind: pooled[kind].to_numpy(dtype=str) for kind in KINDS if pooled[kind].nunique() > 1}
    found = assess(
        pooled["churned"], pooled["churn_probability"], pooled["customer_id"].to_numpy(dtype=str),
        threshold=threshold, economics=economics, segments=segments, resamples=RESAMPLES,
    )  # fmt: skip
    churned = pooled.loc[pooled["churned"] == 1, "customer_id"].nunique()
    return Realised(
        nights=tuple(sorted(set(pooled["as_of"]))),
        assessment=found,
        churned_customers=churned,
        expected=expected_performance(pooled["churn_probability"], threshold, economics),
        verdict=judge(found, churned, holdout_roc_auc),
    )


def lines(nights: Sequence[Night], rows: pd.DataFrame, economics: Economics) -> list[NightLine]:
    """A line for each night; realised where ``rows`` has it."""
    known = dict(iter(rows.groupby("as_of"))) if len(rows) else {}
    return [_line(night, known.get(night.as_of), economics) for night in nights if len(night.scores)]


def _line(night: Night, rows: pd.DataFrame | None, economics: Economics) -> NightLine:
    threshold = night.publication.threshold
    expected = expected_performance(night.scores["churn_probability"], threshold, economics)
    if rows is None:
        return NightLine(night.as_of, expected, None)
    found = evaluate(rows["churned"], rows["churn_probability"], threshold, economics)
    figures = {"churned": float(rows["churned"].sum()), **{name: found[name] for name in _SHOWN}}
    return NightLine(night.as_of, expected, {name: value for name, value in figures.items() if np.isfinite(value)})


def flat(found: Realised) -> dict[str, Any]:
    """The figures with ``…_low`` and ``…_high`` for their intervals, and ``expected_…`` beside them."""
    figures: dict[str, Any] = {
        "first_night": str(found.nights[0]), "last_night": str(found.nights[-1]), "nights": len(found.nights),
        "rows": found.assessment.rows, "customers": found.assessment.customers, "churned": found.assessment.churned,
        "churned_customers": found.churned_customers,
    }  # fmt: skip
    for name in _SHOWN:
        metric = found.assessment.metrics[name]
        figures |= {name: metric.value, f"{name}_low": metric.low, f"{name}_high": metric.high}
    expected = asdict(found.expected)
    return figures | {f"expected_{name}": value for name, value in expected.items() if name != "rows"}
