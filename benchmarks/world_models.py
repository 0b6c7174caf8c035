"""Models of a simulated world as the platform would train and use them: panel, training, nightly scores, outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.decision_records import made_by
from benchmarks.worlds import START, World, features, moment, number, panel
from churn.core import boosting, calibration, curves, extended_features, logistic, search, training
from churn.core.features import CORE_FEATURES, FEATURE_NAMES
from churn.core.labels import plan_panel
from churn.core.model import ChurnModel
from churn.core.training import train
from churn.io.lake import write_parquet

HORIZON_DAYS = 14
TRIALS = 0
"""Settings searched by each training: the defaults are near what a search finds, and thousands are trained here."""
CORE_COLUMNS = [feature.name for feature in CORE_FEATURES]
_COLUMNS = list(FEATURE_NAMES)
_MADE = made_by(training, boosting, logistic, calibration, curves, search, extended_features, more=str(TRIALS))


@dataclass(frozen=True, eq=False)
class Trained:
    """A model as of a day, and the rows of the hold-out, which it has not seen."""

    model: ChurnModel
    core: ChurnModel | None
    """On the core features only; None where nobody asks for it."""
    holdout: pd.DataFrame
    holdout_day: int


def trained(world: World, as_of: int, *, core: bool = False) -> Trained:
    """Train on the panel of day ``as_of``, as the platform would on that date."""
    snapshots, holdout = snapshot_days(as_of)
    return trained_on(panel(world, [*snapshots, holdout], HORIZON_DAYS), core=core)


def trained_on(rows: pd.DataFrame, *, core: bool = True) -> Trained:
    """Train both models, or only the full one, on all but the latest cut-off of these rows of a panel."""
    holdout = int(rows["as_of"].max())
    past = rows[rows["as_of"] != holdout]

    def fitted(columns: list[str]) -> ChurnModel:
        return train(past[columns], past["churned"], past["customer_id"], trials=TRIALS)

    held = rows[rows["as_of"] == holdout].reset_index(drop=True)
    return Trained(fitted(_COLUMNS), fitted(CORE_COLUMNS) if core else None, held, holdout)


def snapshot_days(as_of: int) -> tuple[tuple[int, ...], int]:
    """Training cut-offs and the hold-out, by the platform's own plan."""
    plan = plan_panel(moment(as_of), START, horizon_days=HORIZON_DAYS)
    return tuple((day - START).days for day in plan.training), (plan.holdout - START).days


def published(world: World, model: ChurnModel, nights: Sequence[int], kept: Path) -> pd.DataFrame:
    """``night``, ``customer_id``, ``probability`` and what segments are made of, of each nightly scoring.

    Kept in the file ``kept`` plus what names the code.
    """
    path = kept.with_name(f"{kept.stem}-{_MADE}.parquet")
    if path.is_file():
        table: pd.DataFrame = pq.read_table(path).to_pandas()
        if set(nights) <= set(table["night"]):
            return table[table["night"].isin(nights)].reset_index(drop=True)
    found = pd.concat(
        [
            rows[["customer_id", "is_paid_user", "days_since_registration"]].assign(
                night=night, probability=model.predict_proba(rows)
            )
            for night, rows in features(world, nights).items()
        ],
        ignore_index=True,
    )
    write_parquet(path, pa.Table.from_pandas(found, preserve_index=False))
    return found


def cancelled_on(world: World) -> pd.Series:
    """Day of the cancellation by customer, of those who have."""
    rows = world.session_days
    gone = rows.filter(pc.greater(rows["cancels"], 0)).select(["customer_id", "day"]).to_pandas()
    return (gone.set_index("customer_id")["day"] - number(0)).astype(np.int64)
