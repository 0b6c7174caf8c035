"""The platform's way to measure: features before a cut-off, outcomes after it, a later date than any trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from churn.core.assessment import Assessment, assess
from churn.core.core_features import CORE_FEATURES
from churn.core.evaluation import Economics
from churn.core.model import FULL
from churn.core.reference_protocol import THRESHOLD, recipe
from churn.core.resampling import Estimate
from churn.errors import BadInput

_FEWEST = 5
"""Of either outcome in the hold-out, as many as the reference's folds need: an interval from fewer would be a guess."""


@dataclass(frozen=True)
class Measured:
    """One model on the hold-out."""

    threshold: float
    metrics: Mapping[str, Estimate]
    confusion: Mapping[str, int]
    versus: Mapping[str, Mapping[str, Estimate]]
    """Model − baseline, paired."""


@dataclass(frozen=True)
class HonestResult:
    """The models and the baselines on the hold-out, intervals of 95 % from drawing customers."""

    holdout: str
    horizon_days: int
    training_snapshots: tuple[str, ...]
    training_rows: int
    customers: int
    churned: int
    models: Mapping[str, Measured]
    """``core`` and ``full``."""
    baselines: Mapping[str, Mapping[str, Estimate]]
    """On the full model's columns."""
    recipe: Measured
    """The reference write-up's own recipe and features, fitted and measured in this protocol."""


def check_holdout(holdout: pd.DataFrame) -> None:
    """Raise BadInput where so few left, or stayed, that nothing could be said."""
    churned, customers = int(holdout["churned"].sum()), len(holdout)
    if min(churned, customers - churned) < _FEWEST:
        raise BadInput(
            f"{churned} of the {customers} customers of the hold-out churned: at least {_FEWEST} of either kind "
            "are needed to measure anything. Ingest a log of more customers, or choose another --as-of"
        )


def honest_result(
    training: pd.DataFrame,
    holdout: pd.DataFrame,
    assessments: Mapping[str, Assessment],
    *,
    snapshots: Sequence[str],
    horizon_days: int,
) -> HonestResult:
    """What the assessments on the hold-out say, next to the reference recipe fitted on the same ``training`` rows."""
    return HonestResult(
        holdout=str(holdout["as_of"].iloc[0]),
        horizon_days=horizon_days,
        training_snapshots=tuple(snapshots),
        training_rows=len(training),
        customers=len(holdout),
        churned=int(holdout["churned"].sum()),
        models={name: _measured(found) for name, found in assessments.items()},
        baselines=assessments[FULL].baselines,
        recipe=_measured(_recipe_before_the_fact(training, holdout, assessments[FULL].economics)),
    )


def _recipe_before_the_fact(training: pd.DataFrame, holdout: pd.DataFrame, economics: Economics) -> Assessment:
    columns = [f.name for f in CORE_FEATURES]
    fitted = recipe(columns).fit(training[columns], training["churned"])
    probability = fitted.predict_proba(holdout[columns])[:, 1].astype("float64")
    return assess(
        holdout["churned"], probability, holdout["customer_id"], threshold=THRESHOLD, economics=economics
    )  # fmt: skip


def _measured(found: Assessment) -> Measured:
    return Measured(found.threshold, found.metrics, found.confusion, found.versus)
