"""The features: one definition each, and the SQL that computes them for any set of cut-offs in one pass.

Training, nightly scoring, the REST API and the validation suite all read :data:`FEATURES`.

The SQL keeps to a small dialect subset (DuckDB's, that sqlglot can carry elsewhere): ``sum(case …)``,
``row_number()``, integer milliseconds, explicit casts, ``coalesce`` around empty sums, and a total order for "last".
It goes through a (customer, session, day) pre-aggregate, exact because every cut-off is a midnight.
"""

from dataclasses import dataclass
from typing import Literal

from churn.core.events import DAY_MS


@dataclass(frozen=True)
class Feature:
    """One feature: what it means and what values it may take. ``sql`` reads the per-customer aggregate."""

    name: str
    sql: str
    kind: Literal["count", "seconds", "days", "ratio", "flag"]
    unit: str
    minimum: float
    maximum: float
    meaning: str
    example: float

    @property
    def whole(self) -> bool:
        """Only whole numbers make sense."""
        return self.kind in ("count", "flag") and not self.name.startswith("avg_")


def _count(name: str, sql: str, meaning: str, example: float) -> Feature:
    return Feature(name, sql, "count", "count", 0, 1e9, meaning, example)


_CENTURY_DAYS = 36_525.0

CORE_FEATURES: tuple[Feature, ...] = (
    _count("total_sessions", "sessions", "sessions so far", 10),
    Feature(
        "avg_session_duration", "cast(session_ms as double) / 1000 / nullif(sessions, 0)", "seconds", "seconds", 0, 1e8,
        "mean time from the first to the last event of a session", 3600,
    ),
    _count("total_songs_played", "plays", "songs played so far", 100),
    Feature(
        "avg_songs_per_session", "cast(plays as double) / nullif(sessions, 0)", "count", "songs per session", 0, 1e9,
        "songs played per session", 10,
    ),
    _count("thumbs_up_count", "likes", "songs liked", 20),
    _count("thumbs_down_count", "dislikes", "songs disliked", 5),
    _count("add_playlist_count", "playlist_adds", "songs added to a playlist", 15),
    _count("add_friend_count", "friend_adds", "friends added", 8),
    Feature(
        "time_since_last_activity", f"cast(as_of_ms - last_ms as double) / {DAY_MS}", "days", "days", 0, _CENTURY_DAYS,
        "days from the last event to the cut-off", 2,
    ),
    Feature(
        "days_since_registration", f"cast(as_of_ms - registered_ms as double) / {DAY_MS}", "days", "days",
        0, _CENTURY_DAYS, "days from registration to the cut-off", 30,
    ),
    Feature(
        "thumbs_up_ratio", "cast(likes as double) / nullif(plays, 0)", "ratio", "likes per song", 0, 1e6,
        "likes per song played", 0.2,
    ),
    Feature(
        "thumbs_down_ratio", "cast(dislikes as double) / nullif(plays, 0)", "ratio", "dislikes per song", 0, 1e6,
        "dislikes per song played", 0.05,
    ),
    Feature(
        "is_paid_user", "case when last_plan = 'paid' then 1 else 0 end", "flag", "0 or 1", 0, 1,
        "on the paid plan at the last event", 1,
    ),
)  # fmt: skip

FEATURES = CORE_FEATURES
"""All features of nightly scoring. The extended set joins here."""

FEATURE_NAMES: tuple[str, ...] = tuple(f.name for f in FEATURES)

_COUNTED_KINDS = {
    "play": "plays",
    "like": "likes",
    "dislike": "dislikes",
    "add_to_playlist": "playlist_adds",
    "add_friend": "friend_adds",
    "cancel": "cancels",
}


def session_days_sql(events: str, *, known_before_ms: int | None = None) -> str:
    """One row per (customer, session, UTC day): counts by kind, first and last event, the plan at the last one.

    ``known_before_ms`` leaves out what had not been ingested by then, to reproduce a past run.
    "Last" is by (ts_ms, session_id, item_in_session, kind, plan): a total order, so that no tie is left to an engine.
    """
    known = "" if known_before_ms is None else f"\n  where ingested_ms < {int(known_before_ms)}"
    counts = ",\n  ".join(
        f"cast(sum(case when kind = '{kind}' then 1 else 0 end) as bigint) as {column}"
        for kind, column in _COUNTED_KINDS.items()
    )
    return f"""
select
  customer_id, session_id, day,
  min(ts_ms) as first_ms, max(ts_ms) as last_ms,
  min(registered_ms) as registered_ms,
  max(case when newest = 1 then plan end) as last_plan,
  {counts}
from (
  select *,
    cast(floor(cast(ts_ms as double) / {DAY_MS}) as bigint) as day,
    row_number() over (
      partition by customer_id, session_id, cast(floor(cast(ts_ms as double) / {DAY_MS}) as bigint)
      order by ts_ms desc, coalesce(item_in_session, -1) desc, kind desc, plan desc
    ) as newest
  from {events}{known}
) as e
group by customer_id, session_id, day"""


def customers_sql(session_days: str, snapshots: str) -> str:
    """One row per (cut-off, customer) over what happened before the cut-off.

    ``snapshots`` has a column ``as_of_day`` (days since 1970-01-01 UTC). Without a registration time, the first
    event stands for it.
    """
    columns = tuple(_COUNTED_KINDS.values())
    per_session = ", ".join(f"sum({c}) as {c}" for c in columns)
    total = ",\n  ".join(f"cast(coalesce(sum({c}), 0) as bigint) as {c}" for c in columns)
    return f"""
select
  as_of_day, as_of_day * {DAY_MS} as as_of_ms, customer_id,
  cast(count(*) as bigint) as sessions,
  cast(sum(last_ms - first_ms) as bigint) as session_ms,
  min(first_ms) as first_ms, max(last_ms) as last_ms,
  coalesce(min(registered_ms), min(first_ms)) as registered_ms,
  max(case when newest = 1 then last_plan end) as last_plan,
  {total}
from (
  select *, row_number() over (
      partition by as_of_day, customer_id order by last_ms desc, session_id desc
    ) as newest
  from (
    select as_of_day, customer_id, session_id,
      min(first_ms) as first_ms, max(last_ms) as last_ms, min(registered_ms) as registered_ms,
      max(case when newest_day = 1 then last_plan end) as last_plan, {per_session}
    from (
      select s.as_of_day, d.*, row_number() over (
          partition by s.as_of_day, d.customer_id, d.session_id order by d.day desc
        ) as newest_day
      from {session_days} as d join {snapshots} as s on d.day < s.as_of_day
    ) as known
    group by as_of_day, customer_id, session_id
  ) as per_session
) as ranked
group by as_of_day, customer_id"""


AT_RISK_SQL = "cancels = 0 and registered_ms < as_of_ms"
"""Registered and active before the cut-off, not cancelled before it."""


def features_sql(session_days: str, snapshots: str, features: tuple[Feature, ...] = FEATURES) -> str:
    """``as_of_day``, ``customer_id`` and one double column per feature, for every customer at risk at each cut-off."""
    columns = ",\n  ".join(f"cast(coalesce({f.sql}, 0) as double) as {f.name}" for f in features)
    return f"""
select as_of_day, customer_id,
  {columns}
from ({customers_sql(session_days, snapshots)}
) as customers
where {AT_RISK_SQL}"""
