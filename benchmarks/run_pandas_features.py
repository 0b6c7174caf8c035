"""The core features by pandas: ``python run_pandas_features.py EVENTS FOUND.parquet AS_OF_DAY …``

Vectorised, texts as categories, no loop over rows or customers; each cut-off for itself. Says `start` and `stop`
around what counts.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

sys.path.append(str(Path(__file__).parent))
from plain_features import COLUMNS, DAY_MS, mark, partitions

TEXTS = ["customer_id", "session_id", "kind", "plan"]


def features(events: str, as_of_day: int) -> pd.DataFrame:
    """Every customer at risk at the cut-off."""
    read = pq.read_table(partitions(events, as_of_day), columns=list(COLUMNS), read_dictionary=TEXTS, partitioning=None)
    log = read.unify_dictionaries().to_pandas()
    cut = as_of_day * DAY_MS

    spans = log.groupby(["customer_id", "session_id"], observed=True, sort=False)["ts_ms"].agg(["min", "max"])
    spent = (spans["max"] - spans["min"]).groupby(level="customer_id", observed=True).agg(["size", "sum"])
    kinds = log.groupby(["customer_id", "kind"], observed=True).size().unstack(fill_value=0)
    kinds = kinds.reindex(columns=["play", "like", "dislike", "add_to_playlist", "add_friend", "cancel"], fill_value=0)
    seen = log.groupby("customer_id", observed=True).agg(
        first_ms=("ts_ms", "min"), last_ms=("ts_ms", "max"), registered_ms=("registered_ms", "min")
    )
    registered = seen["registered_ms"].fillna(seen["first_ms"])

    # The last event: few rows are as late as their customer's latest, and only these are put in order.
    latest = seen["last_ms"].reindex(log["customer_id"].cat.categories).to_numpy()[log["customer_id"].cat.codes]
    last = log[log["ts_ms"].to_numpy() == latest].astype({"session_id": str})
    last = last.sort_values(["session_id", "item_in_session"]).drop_duplicates("customer_id", keep="last")
    plan = last.set_index("customer_id")["plan"].reindex(seen.index)

    sessions, plays = spent["size"], kinds["play"]
    songs = plays.where(plays > 0, np.nan)
    table = pd.DataFrame(
        {
            "total_sessions": sessions,
            "avg_session_duration": spent["sum"] / 1000 / sessions,
            "total_songs_played": plays,
            "avg_songs_per_session": plays / sessions,
            "thumbs_up_count": kinds["like"],
            "thumbs_down_count": kinds["dislike"],
            "add_playlist_count": kinds["add_to_playlist"],
            "add_friend_count": kinds["add_friend"],
            "time_since_last_activity": (cut - seen["last_ms"]) / DAY_MS,
            "days_since_registration": (cut - registered) / DAY_MS,
            "thumbs_up_ratio": (kinds["like"] / songs).fillna(0),
            "thumbs_down_ratio": (kinds["dislike"] / songs).fillna(0),
            "is_paid_user": (plan == "paid").astype(float),
        }
    ).astype("float64")
    table = table[((kinds["cancel"] == 0) & (registered < cut)).to_numpy()]
    table.index = table.index.astype(str)
    return table.reset_index().assign(as_of_day=as_of_day)


def main(events: str, found: str, days: list[int]) -> None:
    """Compute, then write."""
    mark("start")
    table = pd.concat([features(events, day) for day in days])
    mark("stop")
    table.to_parquet(found)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [int(day) for day in sys.argv[3:]])
