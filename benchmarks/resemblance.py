"""Do simulated customers resemble real ones? ``python -m benchmarks.resemblance [--data DIR] [--customers N]``

The real ones are the public panel: 12,461 customers at risk on 2018-11-19, 50 days after the log's start, and who of
them cancelled in the 12 days after. The simulated ones are given the same columns, at the same age of the log. Compared
are each column's distribution, how the columns hang together, and what each says about who cancels.

Nearly all of the real ones (98.4 %) had registered before the log starts, so they are compared with those of the
simulated who had; a simulated service also has newcomers, who have been seen for a shorter time.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import ks_2samp, wasserstein_distance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from churn.core.events import DAY_MS
from churn.core.simulated_customers import catalogue
from churn.core.simulated_events import PAGES, Coded, Log
from churn.core.simulated_sessions import CANCEL
from churn.core.simulation import live

START, CUT_OFF_DAY, HORIZON_DAYS = date(2018, 10, 1), 50, 12
"""Of the public panel: a cut-off on 2018-11-19 with that day included, and the log's end."""
PANEL = Path("sparkify_panel") / "train.parquet"
LABEL, CHURNED = "churned_after_2018_11_19", "churned"
NEWCOMER = "newcomer"
_COUNTED = ("Add Friend", "Add to Playlist", "Downgrade", "Error", "Help", "Home", "Logout", "NextSong", "Roll Advert",
            "Settings", "Thumbs Down", "Thumbs Up", "Upgrade")  # fmt: skip
COLUMNS = (
    "total_sessions", "total_events", *(f"page_{page.lower().replace(' ', '_')}" for page in _COUNTED),
    "avg_session_length", "max_session_length", "std_session_length", "unique_songs", "avg_song_length",
    "total_listen_time", "level_changes", "paid_ratio", "is_paid", "has_downgrade", "has_upgrade", "days_active",
    "days_since_registration", "events_per_day", "thumbs_up_ratio", "thumbs_down_ratio", "playlist_add_ratio",
    "error_rate", "ad_ratio", "song_repeat_ratio",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One column, real against simulated."""

    column: str
    real_median: float
    real_p90: float
    simulated_median: float
    simulated_p90: float
    ks: float
    """Kolmogorov-Smirnov statistic, 0 to 1."""
    wasserstein: float
    """In standard deviations of the real column."""
    real_auc: float
    simulated_auc: float
    """ROC AUC of the column alone against the label."""


@dataclass(frozen=True)
class Summary:
    """What is true of the columns together."""

    customers: tuple[int, int]
    """Real and simulated, as everywhere below."""
    churned: tuple[int, int]
    median_ks: float
    columns_within_a_tenth: int
    """Columns with a KS statistic of at most 0.10."""
    spearman_difference: float
    """Mean absolute difference of the rank correlations of all pairs of columns."""
    auc_difference: float
    """Largest absolute difference of the columns' own ROC AUC."""
    logistic_auc: tuple[float, float]
    """Logistic regression on log(1 + x), five folds."""
    oracle_auc: float
    """The simulated customers' true hazard; of the real ones nobody knows it."""


def default_data() -> Path:
    """``CHURN_TEST_DATA``, or the folder shared/data beside the repository."""
    return Path(os.environ.get("CHURN_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def real_panel(data: Path) -> pd.DataFrame:
    """The public panel, ``COLUMNS`` and the label as ``churned``. Raises FileNotFoundError."""
    path = data / PANEL
    if not path.is_file():
        raise FileNotFoundError(f"no {path}: give the folder that holds {PANEL} with --data, or set CHURN_TEST_DATA")
    return pd.read_parquet(path, columns=[*COLUMNS, LABEL]).rename(columns={LABEL: CHURNED})


def simulated_panel(customers: int, seed: int = 1) -> pd.DataFrame:
    """The same of simulated customers who are at risk and have been seen, with their true ``hazard``.

    ``newcomer`` is 1 for those who registered after the log's start.
    """
    life, days = live(customers, seed, START, CUT_OFF_DAY + HORIZON_DAYS)
    log, parts = Log(life), []
    leavers: list[NDArray[np.int64]] = []
    for day in days:
        if day.index < CUT_OFF_DAY:
            table = log.day(day)
            seen = _codes(table["userId"]) < len(life.who.visits)
            names = {"userId": "customer", "page": "page", "level": "paid", "length": "track", "song": "song"}
            part = {to: _codes(table[of])[seen] for of, to in names.items()}
            parts.append(part | {"session": np.asarray(table["sessionId"])[seen], "ts": np.asarray(table["ts"])[seen]})
            continue
        if day.index == CUT_OFF_DAY:
            hazard = pd.Series(day.hazard, index=day.at_risk)
        leavers.append(day.sessions.customer[day.sessions.outro == CANCEL])
    events = pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    panel = (
        _columns(events, life.who.registered_ms, catalogue(seed).seconds)
        .assign(hazard=hazard)
        .dropna(subset=["hazard"])
    )
    return panel.assign(
        churned=panel.index.isin(np.concatenate(leavers)).astype(int),
        newcomer=(life.who.registered_ms[panel.index] >= life.zero_ms).astype(int),
    )


def _codes(column: object) -> NDArray[np.integer]:
    assert isinstance(column, Coded)
    return column.codes


def _columns(events: pd.DataFrame, registered_ms: NDArray[np.int64], seconds: NDArray[np.float64]) -> pd.DataFrame:
    """The publisher's columns, found out from how they hang together: a session's length is its number of events."""
    events = events.sort_values(["customer", "ts"], kind="stable")
    of = events.groupby("customer")
    panel = pd.DataFrame({"total_events": of.size(), "total_sessions": of.session.nunique()})
    pages = pd.crosstab(events.customer, events.page)
    for page, name in zip(_COUNTED, COLUMNS[2:], strict=False):
        panel[name] = pages.get(PAGES.index(page), 0)
    length = events.groupby(["customer", "session"]).size().groupby("customer").agg(["mean", "max", "std"]).fillna(0)
    panel[["avg_session_length", "max_session_length", "std_session_length"]] = length
    plays = events[events.page == PAGES.index("NextSong")]
    heard = pd.Series(seconds[plays.track], index=plays.customer).groupby(level=0)
    panel["unique_songs"] = plays.groupby("customer").song.nunique()
    panel["avg_song_length"], panel["total_listen_time"] = heard.mean(), heard.sum()
    panel = panel.fillna(0)
    panel["level_changes"] = (of.paid.diff().fillna(0) != 0).groupby(events.customer).sum()
    panel["paid_ratio"], panel["is_paid"] = of.paid.mean(), of.paid.last()
    panel["has_downgrade"], panel["has_upgrade"] = panel.page_downgrade > 0, panel.page_upgrade > 0
    first, last = of.ts.min(), of.ts.max()
    panel["days_active"] = (last - first) // DAY_MS + 1
    panel["days_since_registration"] = (last - registered_ms[panel.index]) // DAY_MS
    panel["events_per_day"] = panel.total_events / panel.days_active
    played = panel.page_nextsong.clip(lower=1)
    panel["thumbs_up_ratio"], panel["thumbs_down_ratio"] = (
        panel.page_thumbs_up / played,
        panel.page_thumbs_down / played,
    )
    panel["playlist_add_ratio"], panel["ad_ratio"] = (
        panel.page_add_to_playlist / played,
        panel.page_roll_advert / played,
    )
    panel["error_rate"] = panel.page_error / panel.total_events
    panel["song_repeat_ratio"] = panel.page_nextsong / panel.unique_songs.clip(lower=1)
    return panel.astype(np.float64)


def compare(real: pd.DataFrame, simulated: pd.DataFrame) -> list[Row]:
    """One row per column of two panels."""
    return [
        Row(
            column=name,
            real_median=float(real[name].median()),
            real_p90=float(real[name].quantile(0.9)),
            simulated_median=float(simulated[name].median()),
            simulated_p90=float(simulated[name].quantile(0.9)),
            ks=float(ks_2samp(real[name], simulated[name], method="asymp").statistic),
            wasserstein=float(wasserstein_distance(real[name], simulated[name]) / real[name].std()),
            real_auc=float(roc_auc_score(real[CHURNED], real[name])),
            simulated_auc=float(roc_auc_score(simulated[CHURNED], simulated[name])),
        )
        for name in COLUMNS
    ]


def resemblance(data: Path, *, customers: int = 20_000, seed: int = 1) -> list[Row]:
    """One row per column, real against ``customers`` simulated. Raises FileNotFoundError without the real ones."""
    real = real_panel(data)  # before the work
    return compare(real, seen_throughout(simulated_panel(customers, seed)))


def seen_throughout(simulated: pd.DataFrame) -> pd.DataFrame:
    """Those who had registered before the log starts, as nearly all of the real ones."""
    return simulated[simulated[NEWCOMER] == 0]


def summary(real: pd.DataFrame, simulated: pd.DataFrame, rows: list[Row]) -> Summary:
    """What is true of two panels as a whole."""
    correlations = [panel[list(COLUMNS)].corr(method="spearman").to_numpy() for panel in (real, simulated)]
    pairs = np.triu_indices(len(COLUMNS), 1)
    return Summary(
        customers=(len(real), len(simulated)),
        churned=(int(real[CHURNED].sum()), int(simulated[CHURNED].sum())),
        median_ks=float(np.median([row.ks for row in rows])),
        columns_within_a_tenth=sum(row.ks <= 0.10 for row in rows),
        spearman_difference=float(np.abs(correlations[0] - correlations[1])[pairs].mean()),
        auc_difference=max(abs(row.real_auc - row.simulated_auc) for row in rows),
        logistic_auc=(logistic_auc(real), logistic_auc(simulated)),
        oracle_auc=float(roc_auc_score(simulated[CHURNED], simulated["hazard"])),
    )


def logistic_auc(panel: pd.DataFrame) -> float:
    """ROC AUC out of five folds of a plain logistic regression on log(1 + x)."""
    x, y = np.log1p(panel[list(COLUMNS)].to_numpy(np.float64).clip(min=0)), panel[CHURNED].to_numpy()
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2_000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return float(roc_auc_score(y, cross_val_predict(model, x, y, cv=folds, method="predict_proba")[:, 1]))


def table(rows: list[Row], found: Summary) -> str:
    """Both as text."""
    head = (
        f"{'':24}{'median':>19}{'90th percentile':>23}{'':9}{'':9}{'ROC AUC alone':>17}\n"
        f"{'column':24}{'real':>9}{'simulated':>11}{'real':>11}{'simulated':>11}{'KS':>7}{'W/sd':>8}"
        f"{'real':>9}{'simulated':>11}"
    )
    lines = [
        f"{r.column:24}{r.real_median:9.4g}{r.simulated_median:11.4g}{r.real_p90:11.4g}{r.simulated_p90:11.4g}"
        f"{r.ks:7.3f}{r.wasserstein:8.3f}{r.real_auc:9.3f}{r.simulated_auc:11.3f}"
        for r in rows
    ]
    return "\n".join([head, *lines, "", totals(len(rows), found)])


def totals(columns: int, found: Summary) -> str:
    """The lines below the table."""
    (real, simulated), (left, gone) = found.customers, found.churned
    return "\n".join([
        f"customers             real {real:,}, simulated {simulated:,}",
        f"cancel in {HORIZON_DAYS} days     real {left} ({left / real:.2%}), simulated {gone} ({gone / simulated:.2%})",
        f"KS                    median {found.median_ks:.3f}, to 0.10 in {found.columns_within_a_tenth} of {columns}",
        f"rank correlations     mean absolute difference {found.spearman_difference:.3f}",
        f"ROC AUC of a column   largest difference {found.auc_difference:.3f}",
        f"logistic regression   ROC AUC real {found.logistic_auc[0]:.3f}, simulated {found.logistic_auc[1]:.3f}",
        f"true hazard           ROC AUC simulated {found.oracle_auc:.3f}",
    ])  # fmt: skip


def main() -> None:
    """Print the table."""
    ask = argparse.ArgumentParser(description=(__doc__ or "").partition("``")[0])
    ask.add_argument("--data", type=Path, default=default_data(), help="folder of the public tables")
    ask.add_argument("--customers", type=int, default=20_000, help="simulated customers, default 20,000")
    ask.add_argument("--seed", type=int, default=1)
    given = ask.parse_args()
    try:
        real = real_panel(given.data)
    except FileNotFoundError as missing:
        sys.exit(str(missing))
    everybody = simulated_panel(given.customers, given.seed)
    simulated = seen_throughout(everybody)
    rows = compare(real, simulated)
    sys.stdout.write(table(rows, summary(real, simulated, rows)) + "\n\n")
    rows = compare(real, everybody)
    sys.stdout.write("With newcomers\n" + totals(len(rows), summary(real, everybody, rows)) + "\n")


if __name__ == "__main__":
    main()
