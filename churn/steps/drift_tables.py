"""The tables that drift compares: features and scores from equal lengths of log, at the hold-out and at night."""

from datetime import date, timedelta

import numpy as np
import pandas as pd

from churn.core.drift_policy import DriftPolicy
from churn.core.drift_reference import DriftReference
from churn.core.events import SourceContract
from churn.core.model import ChurnModel
from churn.io.drift_store import StoredReference
from churn.io.engines.duckdb import open_engine
from churn.io.engines.engine import Opener
from churn.io.event_kinds import events_by_kind
from churn.io.lake import Lake
from churn.io.point_in_time import features_at

SCORE = "churn_probability"
_WEEKS = 8
"""Covers the longest window of a feature (28 days) twice. Whole weeks, so that each weekday counts alike."""
_MOST_ROWS = 20_000
"""More would only find smaller differences than those that matter."""


def drift_table(
    lake: Lake, as_of: date, history_days: int, model: ChurnModel, *, engine: Opener = open_engine
) -> pd.DataFrame:
    """Every customer at risk at ``as_of``: the features over ``history_days`` of log, and what the model says of them.

    The probability differs from the published one where a feature looks further back, and is that of a customer of the
    usual age: ages grow by themselves, and the scores with them (in a world without change their KS reached 0.11 after
    ten weeks, and 0.03 so). It is for comparison only. Without features that the model takes, there is no probability.
    """
    features = features_at(lake, as_of, history_days=history_days, engine=engine)
    table: pd.DataFrame = features.to_pandas().drop(columns="customer_id")
    if set(model.features) <= set(table.columns):
        usual = {name: model.card.usual[name] for name in DriftPolicy().ages if name in model.features}
        table[SCORE] = model.predict_proba(table.assign(**usual))
    return table


def drift_reference(
    lake: Lake,
    contract: SourceContract,
    held_out: date,
    model: ChurnModel,
    *,
    engine: Opener = open_engine,
    megabytes: int | None = None,
) -> StoredReference:
    """What a version is compared with later: its hold-out. Raises NotReady without events before it.

    ``megabytes``: memory of the embedded engine, which counts the events.
    """
    lake.event_files(before=held_out)  # says what is missing when there is nothing
    days = (held_out - lake.event_days()[0]).days
    weeks = max(_WEEKS, -(-contract.horizon_days // 7))  # who is judged by a longer horizon comes more rarely
    history = min(weeks, days // 7) * 7 or days
    table = drift_table(lake, held_out, history, model, engine=engine)
    if len(table) > _MOST_ROWS:
        rows = np.random.default_rng(0).choice(len(table), _MOST_ROWS, replace=False)
        table = table.iloc[np.sort(rows)]
    kinds = events_by_kind(lake, contract, held_out - timedelta(days=history), held_out, megabytes=megabytes)
    return StoredReference(DriftReference.of(table), held_out, history, kinds)
