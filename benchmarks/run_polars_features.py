"""The core features by Polars: ``python run_polars_features.py EVENTS FOUND.parquet AS_OF_DAY …``

Lazy, on its streaming engine, by session and then by customer, so that the log is read once for each cut-off. Says
`start` and `stop` around what counts.
"""

import sys
from pathlib import Path

import polars as pl

sys.path.append(str(Path(__file__).parent))
from plain_features import COLUMNS, DAY_MS, mark, partitions

# A time of today in milliseconds has 41 bits, and a session has fewer than two to the 22nd events.
PLACE = 1 << 22
COUNTED = {"plays": "play", "likes": "like", "dislikes": "dislike", "playlist_adds": "add_to_playlist",
           "friend_adds": "add_friend", "cancels": "cancel"}  # fmt: skip


def features(events: str, as_of_day: int) -> pl.LazyFrame:
    """Every customer at risk at the cut-off."""
    cut = as_of_day * DAY_MS
    log = pl.scan_parquet(partitions(events, as_of_day)).select(COLUMNS)
    log = log.with_columns(place=pl.col("ts_ms") * PLACE + pl.col("item_in_session").fill_null(0))
    sessions = log.group_by("customer_id", "session_id").agg(
        pl.col("ts_ms").min().alias("first_ms"),
        pl.col("ts_ms").max().alias("last_ms"),
        pl.col("registered_ms").min(),
        pl.col("place").max().alias("last_place"),
        pl.col("plan").max_by("place"),
        *((pl.col("kind") == kind).sum().cast(pl.Int64).alias(name) for name, kind in COUNTED.items()),
    )
    customers = sessions.group_by("customer_id").agg(
        pl.len().alias("sessions"),
        (pl.col("last_ms") - pl.col("first_ms")).sum().alias("session_ms"),
        pl.col("first_ms").min(),
        pl.col("last_ms").max(),
        pl.col("registered_ms").min(),
        pl.col("plan").max_by("last_place"),
        *(pl.col(name).sum() for name in COUNTED),
    )
    customers = customers.with_columns(registered_ms=pl.coalesce("registered_ms", "first_ms"))
    count = {name: pl.col(name).cast(pl.Float64) for name in ("sessions", *COUNTED)}
    return customers.filter((pl.col("cancels") == 0) & (pl.col("registered_ms") < cut)).select(
        pl.lit(as_of_day, pl.Int64).alias("as_of_day"),
        "customer_id",
        total_sessions=count["sessions"],
        avg_session_duration=pl.col("session_ms") / 1000 / count["sessions"],
        total_songs_played=count["plays"],
        avg_songs_per_session=count["plays"] / count["sessions"],
        thumbs_up_count=count["likes"],
        thumbs_down_count=count["dislikes"],
        add_playlist_count=count["playlist_adds"],
        add_friend_count=count["friend_adds"],
        time_since_last_activity=(cut - pl.col("last_ms")) / DAY_MS,
        days_since_registration=(cut - pl.col("registered_ms")) / DAY_MS,
        thumbs_up_ratio=pl.when(pl.col("plays") > 0).then(count["likes"] / count["plays"]).otherwise(0.0),
        thumbs_down_ratio=pl.when(pl.col("plays") > 0).then(count["dislikes"] / count["plays"]).otherwise(0.0),
        is_paid_user=(pl.col("plan") == "paid").cast(pl.Float64),
    )


def main(events: str, found: str, days: list[int]) -> None:
    """Compute, then write."""
    mark("start")
    table = pl.concat([features(events, day).collect(engine="streaming") for day in days])
    mark("stop")
    table.write_parquet(found)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [int(day) for day in sys.argv[3:]])
