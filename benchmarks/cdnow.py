"""CDNOW, out of time: 23,570 customers of a shop, who buys nothing in the 90 days after 1998-04-02.

Everything goes the way a user's log goes: ingest with the `transactions` contract, panel, training. The model learns
from earlier cut-offs whose outcomes were known by the hold-out's; BG/NBD is fitted on every purchase before it.
"""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.measured import Measured, Scored, measure
from benchmarks.peer_environment import NoPeer, buy_till_you_die
from benchmarks.peers import OURS
from churn.core.baselines import fit_baselines
from churn.core.features import FEATURE_NAMES
from churn.core.training import train
from churn.settings import Settings
from churn.steps.build_panel import build_panel
from churn.steps.ingest import ingest

TRANSACTIONS = Path("cdnow") / "transactions.parquet"
AS_OF = date(1998, 7, 1)
"""The day after the log's end."""
_LATELY_DAYS = 90
_SNAPSHOTS = 5
"""Weekly cut-offs to train on: outcomes of 90 days overlap so much that more of them tell nothing new."""
BGNBD = "BG/NBD"
_SEED = 42


@dataclass(frozen=True)
class Cdnow:
    """Every method on the hold-out, and on those of it who bought in the 90 days before."""

    holdout: str
    training: tuple[str, ...]
    training_rows: int
    customers: int
    churned: int
    lately: int
    lately_churned: int
    everyone: Measured
    bought_lately: Measured
    seconds: Mapping[str, float]
    peer: str
    """Its package and version, or why there is none."""


def compare_on_cdnow(data: Path, *, trials: int, say: Callable[[str], None]) -> Cdnow:
    """Ingest, train and compare in a throwaway data home. Raises FileNotFoundError without the purchases."""
    path = data / TRANSACTIONS
    if not path.is_file():
        raise FileNotFoundError(f"no {TRANSACTIONS} in the data folder")
    with tempfile.TemporaryDirectory(prefix="churn-cdnow-") as home:
        panel = _panel(Path(home), path)
    training, holdout = _split(panel)
    scored, peer = _scored(path, training, holdout, trials, say)
    y = holdout["churned"].to_numpy()
    lately = holdout["time_since_last_activity"].to_numpy() <= _LATELY_DAYS
    return Cdnow(
        holdout=str(holdout["as_of"].iloc[0]),
        training=tuple(map(str, training["as_of"].unique())),
        training_rows=len(training),
        customers=len(y),
        churned=int(y.sum()),
        lately=int(lately.sum()),
        lately_churned=int(y[lately].sum()),
        everyone=measure(y, scored, OURS),
        bought_lately=measure(
            y[lately], {n: Scored(s.score[lately], probability=s.probability) for n, s in scored.items()}, OURS
        ),
        seconds={name: s.seconds for name, s in scored.items()},
        peer=peer,
    )


def summary(purchases: pd.DataFrame, cut_off: date) -> pd.DataFrame:
    """What BG/NBD knows of a customer: repeat purchase days, age at the last one, and age, in days."""
    days = pd.to_datetime(purchases["date"])
    known = purchases.assign(date=days)[days < pd.Timestamp(cut_off)].groupby("customer_id")["date"]
    first, last = known.min(), known.max()
    return pd.DataFrame({
        "frequency": known.nunique() - 1,
        "recency": (last - first).dt.days,
        "T": (pd.Timestamp(cut_off) - first).dt.days,
    }).reset_index()  # fmt: skip


def _panel(home: Path, purchases: Path) -> pd.DataFrame:
    settings = Settings(
        home=home, contract="transactions", panel_snapshots=_SNAPSHOTS, _env_file=None,  # type: ignore[call-arg]
    )  # fmt: skip
    ingest(settings, [purchases])
    return pd.read_parquet(build_panel(settings, AS_OF).path)


def _split(panel: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    latest = panel["as_of"] == panel["as_of"].max()
    return panel[~latest], panel[latest].reset_index(drop=True)


def _scored(
    path: Path, training: pd.DataFrame, holdout: pd.DataFrame, trials: int, say: Callable[[str], None]
) -> tuple[dict[str, Scored], str]:
    columns = list(FEATURE_NAMES)
    began = time.monotonic()
    model = train(
        training[columns], training["churned"], training["customer_id"], seed=_SEED, trials=trials,
        progress=lambda said: say(f"  {said}"),
    )  # fmt: skip
    probability = model.predict_proba(holdout)
    found = {OURS: Scored(probability, time.monotonic() - began)}
    say(f"  {OURS}: {found[OURS].seconds:.0f} s")
    for name, score in fit_baselines(training[columns], training["churned"]).predict(holdout).items():
        found[name] = Scored(score)
    began = time.monotonic()
    try:
        told, peer = buy_till_you_die(
            summary(pd.read_parquet(path), holdout["as_of"].iloc[0]), _horizon(holdout, training)
        )
    except NoPeer as e:
        say(f"  no {BGNBD}: {e}")
        return found, f"could not be had ({e})"
    told = told.set_index("customer_id").loc[holdout["customer_id"]]
    for key, name in (("bgnbd", BGNBD), ("mbgnbd", f"M{BGNBD}")):
        found[f"{name}, P(no purchase)"] = Scored(_probability(told[f"{key}_none"]), time.monotonic() - began)
        found[f"{name}, expected purchases"] = Scored(
            rankdata(-told[f"{key}_expected"]) / len(told), time.monotonic() - began, probability=False
        )
    return found, f"{peer}, fitted on every purchase before the hold-out"


def _probability(values: pd.Series) -> NDArray[np.float64]:
    # The closed form reaches 1 to the last bit for who bought long ago.
    return np.asarray(np.clip(values.to_numpy(float), 1e-9, 1 - 1e-9))


def _horizon(holdout: pd.DataFrame, training: pd.DataFrame) -> int:
    """The last training cut-off lies one horizon before the hold-out's."""
    return int((holdout["as_of"].iloc[0] - training["as_of"].max()).days)
