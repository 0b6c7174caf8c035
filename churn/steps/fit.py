"""Fit: both models of a version on a panel, their measure on the hold-out, and the canaries. Nothing is stored."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from churn.core.arrays import Floats
from churn.core.assessment import Assessment, assess, segments_of
from churn.core.baselines import fit_baselines
from churn.core.canaries import Canary, leaky_columns, shuffled_labels
from churn.core.evaluation import Economics
from churn.core.events import SourceContract
from churn.core.external_memory import WholeTable
from churn.core.features import CORE_FEATURES, FEATURE_NAMES
from churn.core.model import CORE, FULL, ChurnModel
from churn.core.training import train
from churn.errors import ContractViolation
from churn.io.contracts import contract_of
from churn.io.panel_file import TrainingRows
from churn.settings import Settings

SEED = 42
COLUMNS: Mapping[str, list[str]] = {CORE: [f.name for f in CORE_FEATURES], FULL: list(FEATURE_NAMES)}
"""What each model of a version takes."""


@dataclass(frozen=True)
class Fitted:
    """What a panel gives. Mappings are by model: core and full."""

    models: Mapping[str, ChurnModel]
    assessments: Mapping[str, Assessment]
    """On the hold-out, next to the baselines on the same columns."""
    probability: Mapping[str, NDArray[np.float64]]
    """Of the hold-out's rows, in their order."""
    baselines: Mapping[str, Mapping[str, NDArray[np.float64]]]
    canaries: tuple[Canary, ...]


def economics(settings: Settings) -> Economics:
    """The business figures of the settings."""
    return Economics(settings.contact_cost, settings.retained_value, settings.contact_success)


def split(panel: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The training rows, and the hold-out: the rows of the latest cut-off."""
    latest = panel["as_of"] == panel["as_of"].max()
    return panel[~latest], panel[latest]


def fit_panel(panel: pd.DataFrame, settings: Settings, *, progress: Callable[[str], None] = lambda _: None) -> Fitted:
    """Fit on all but the latest cut-off of ``panel`` and measure there.

    ``panel`` has ``as_of``, ``customer_id``, ``churned`` and a column per feature.

    Raises as :func:`fit_rows`.
    """
    training, holdout = split(panel)
    return fit_rows(TrainingRows(training, None), holdout, settings, progress=progress)


def fit_rows(
    given: TrainingRows,
    holdout: pd.DataFrame,
    settings: Settings,
    *,
    whole: Callable[[Sequence[str]], AbstractContextManager[WholeTable]] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Fitted:
    """Fit on rows, or on a weighted sample of them, and measure on ``holdout``; both have a panel's columns.

    ``whole`` opens the table that was sampled, with columns by name: the trees are then fitted on all of it.

    Raises ContractViolation when a canary falls silent: then no figure could be trusted. BadInput as training does.
    """
    training, columns = given.rows, COLUMNS[FULL]
    past, later = (_still_there(rows, contract_of(settings)) for rows in (training, holdout))
    # Without weights: how well a column ranks does not depend on how many there are of either class.
    leakage = leaky_columns(
        past[columns], past["churned"], past["customer_id"], later[columns], later["churned"],
        implausible_auc=settings.leakage_auc,
    )  # fmt: skip
    _refuse(leakage)
    shuffled = shuffled_labels(training[columns], training["churned"], training["customer_id"], seed=SEED)
    _refuse(shuffled)
    models, assessments, probability, baselines = {}, {}, {}, {}
    for name, taken in COLUMNS.items():
        progress(f"fitting the {name} model: {len(taken)} features, {len(training):,} rows")
        with whole(taken) if whole else nullcontext() as table:
            models[name] = train(
                training[taken], training["churned"], training["customer_id"], weights=given.weights, whole=table,
                seed=SEED, economics=economics(settings), trials=settings.search_trials,
                progress=_about(name, progress),
            )  # fmt: skip
        probability[name] = models[name].predict_proba(holdout)
        baselines[name] = _baselines(given, taken, holdout)
        assessments[name] = assess(
            holdout["churned"], probability[name], holdout["customer_id"],
            threshold=models[name].threshold, economics=economics(settings),
            baselines=baselines[name], segments=segments_of(holdout),
        )  # fmt: skip
    return Fitted(models, assessments, probability, baselines, (leakage, shuffled))


def _baselines(given: TrainingRows, columns: list[str], holdout: pd.DataFrame) -> dict[str, Floats]:
    """The baselines' probabilities of the hold-out's rows."""
    churned = given.rows["churned"].to_numpy(np.int64)
    with threadpool_limits(1):  # many threads of linear algebra fight over few cores
        return fit_baselines(given.rows[columns], churned, given.weights).predict(holdout)


def _still_there(rows: pd.DataFrame, contract: SourceContract) -> pd.DataFrame:
    """Where churning is staying away, who has been away for a horizon already will: that recency says so is no leak."""
    return rows[rows["time_since_last_activity"] < contract.horizon_days] if contract.churn == "lapse" else rows


def _about(name: str, progress: Callable[[str], None]) -> Callable[[str], None]:
    return lambda said: progress(f"{name}: {said}")


def _refuse(canary: Canary) -> None:
    if not canary.passed:
        raise ContractViolation(f"canary “{canary.name}”: {canary.message}. {canary.advice}")
