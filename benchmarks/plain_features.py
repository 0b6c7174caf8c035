"""The 13 core features as one plain SQL statement: what somebody writes who wants them once, for one cut-off.

Run by DuckDB as it is (``run_duckdb_features``) and by Spark (``run_spark_features``). Knows nothing of this project:
the scripts of the peers load it by its path.
"""

import os
import sys
import time
from datetime import date, timedelta
from pathlib import Path

DAY_MS = 86_400_000
COLUMNS = ("customer_id", "session_id", "ts_ms", "kind", "plan", "registered_ms", "item_in_session")
"""What of an event is read."""


def partitions(events: str, as_of_day: int) -> list[str]:
    """The files of the days before a cut-off (days since 1970-01-01), in order: nobody reads more than it has to."""
    before = f"date={date(1970, 1, 1) + timedelta(days=as_of_day)}"
    found = sorted(Path(events).glob("date=*/events.parquet"))
    return [str(path) for path in found if path.parent.name < before]


def say(line: str) -> None:
    """To whoever measures."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def mark(word: str) -> None:
    """`start` or `stop`, with the time and this process's processor time so far: who measures may read it later."""
    say(f"{word} {time.monotonic()} {sum(os.times()[:4])}")


def features_sql(events: str, as_of_day: int) -> str:
    """Every customer at risk at the cut-off. ``events`` are those before it; the last one is the latest in (time,
    session, place in it)."""
    cut = as_of_day * DAY_MS
    return f"""
with sessions as (
  select customer_id, session_id,
    min(ts_ms) as first_ms, max(ts_ms) as last_ms, min(registered_ms) as registered_ms,
    max_by(plan, struct(ts_ms, session_id, item_in_session)) as plan,
    count(case when kind = 'play' then 1 end) as plays,
    count(case when kind = 'like' then 1 end) as likes,
    count(case when kind = 'dislike' then 1 end) as dislikes,
    count(case when kind = 'add_to_playlist' then 1 end) as playlist_adds,
    count(case when kind = 'add_friend' then 1 end) as friend_adds,
    count(case when kind = 'cancel' then 1 end) as cancels
  from {events}
  group by customer_id, session_id
), customers as (
  select customer_id, count(*) as sessions, sum(last_ms - first_ms) as session_ms, max(last_ms) as last_ms,
    coalesce(min(registered_ms), min(first_ms)) as registered_ms,
    max_by(plan, struct(last_ms, session_id)) as plan,
    sum(plays) as plays, sum(likes) as likes, sum(dislikes) as dislikes,
    sum(playlist_adds) as playlist_adds, sum(friend_adds) as friend_adds, sum(cancels) as cancels
  from sessions
  group by customer_id
)
select cast({as_of_day} as bigint) as as_of_day, customer_id,
  cast(sessions as double) as total_sessions,
  cast(session_ms as double) / 1000 / sessions as avg_session_duration,
  cast(plays as double) as total_songs_played,
  cast(plays as double) / sessions as avg_songs_per_session,
  cast(likes as double) as thumbs_up_count,
  cast(dislikes as double) as thumbs_down_count,
  cast(playlist_adds as double) as add_playlist_count,
  cast(friend_adds as double) as add_friend_count,
  cast({cut} - last_ms as double) / {DAY_MS} as time_since_last_activity,
  cast({cut} - registered_ms as double) / {DAY_MS} as days_since_registration,
  coalesce(cast(likes as double) / nullif(plays, 0), cast(0 as double)) as thumbs_up_ratio,
  coalesce(cast(dislikes as double) / nullif(plays, 0), cast(0 as double)) as thumbs_down_ratio,
  case when plan = 'paid' then cast(1 as double) else cast(0 as double) end as is_paid_user
from customers
where cancels = 0 and registered_ms < {cut}"""
