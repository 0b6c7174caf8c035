"""The features: one definition each, and the SQL that computes them for any set of cut-offs in one pass.

Training, nightly scoring, the REST API and the validation suite all read :data:`FEATURES`.

The SQL keeps to a small dialect subset (DuckDB's, that sqlglot can carry elsewhere): ``sum(case …)``,
``row_number()``, ``lag()``, ``least()``, integer milliseconds, explicit casts, ``coalesce`` around empty sums, and a
total order for "last". It goes through (customer, session, day) and (customer, day) pre-aggregates, exact because
every cut-off is a midnight. Sums are of whole numbers and are divided last: the order of the rows changes no bit.
"""

from churn.core.core_features import CORE_FEATURES
from churn.core.events import DAY_MS
from churn.core.extended_features import EXTENDED_FEATURES
from churn.core.feature import Feature

__all__ = [
    "AT_RISK_SQL", "CORE_FEATURES", "EXTENDED_FEATURES", "FEATURES", "FEATURE_NAMES", "Feature",
    "customer_days_sql", "customers_sql", "features_sql", "session_days_sql",
]  # fmt: skip

FEATURES: tuple[Feature, ...] = (*CORE_FEATURES, *EXTENDED_FEATURES)
"""All features of nightly scoring. The API answers a request that brings the core ones only."""

FEATURE_NAMES: tuple[str, ...] = tuple(f.name for f in FEATURES)

_COUNTED = {
    "plays": "kind = 'play'",
    "likes": "kind = 'like'",
    "dislikes": "kind = 'dislike'",
    "playlist_adds": "kind = 'add_to_playlist'",
    "friend_adds": "kind = 'add_friend'",
    "adverts": "kind = 'advert'",
    "errors": "kind = 'error'",
    "helps": "kind = 'help'",
    "upgrades": "kind = 'upgrade'",
    "downgrades": "kind = 'downgrade'",
    "cancels": "kind = 'cancel'",
    "free_plays": "kind = 'play' and plan = 'free'",
    "free_adverts": "kind = 'advert' and plan = 'free'",
}
"""What is counted, by the column that counts it."""
_SUMMED = ("sessions", "session_ms", "active_days", *_COUNTED)
_WINDOW_DAYS = (7, 14, 28)


def session_days_sql(events: str, *, known_before_ms: int | None = None) -> str:
    """One row per (customer, session, UTC day): counts by kind, first and last event, the plan at the last one.

    ``known_before_ms`` leaves out what had not been ingested by then, to reproduce a past run.
    "Last" is by (ts_ms, session_id, item_in_session, kind, plan): a total order, so that no tie is left to an engine.
    """
    known = "" if known_before_ms is None else f"\n  where ingested_ms < {int(known_before_ms)}"
    counts = ",\n  ".join(
        f"cast(sum(case when {condition} then 1 else 0 end) as bigint) as {column}"
        for column, condition in _COUNTED.items()
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


def customer_days_sql(session_days: str) -> str:
    """One row per (customer, UTC day): what it adds to each total, its last plan, days since the active day before.

    A session counts on the day it begins. Its time counts up to the day's last event, so that the days up to any
    cut-off add up to the time from its first event to its last one known.
    """
    counts = ", ".join(f"sum({c}) as {c}" for c in _COUNTED)
    return f"""
select *, day - lag(day) over (partition by customer_id order by day) as gap_days
from (
  select customer_id, day, cast(1 as bigint) as active_days,
    min(first_ms) as first_ms, max(last_ms) as last_ms, min(registered_ms) as registered_ms,
    max(case when newest = 1 then last_plan end) as last_plan,
    sum(case when before_ms is null then 1 else 0 end) as sessions,
    sum(last_ms - coalesce(before_ms, first_ms)) as session_ms,
    {counts}
  from (
    select *,
      lag(last_ms) over (partition by customer_id, session_id order by day) as before_ms,
      row_number() over (partition by customer_id, day order by last_ms desc, session_id desc) as newest
    from {session_days}
  ) as parts
  group by customer_id, day
) as days"""


def customers_sql(session_days: str, snapshots: str) -> str:
    """One row per (cut-off, customer) over what happened before the cut-off, in all and in the last days before it.

    ``snapshots`` has a column ``as_of_day`` (days since 1970-01-01 UTC). Without a registration time, the first
    event stands for it.
    """
    total = ",\n  ".join(f"cast(coalesce(sum({c}), 0) as bigint) as {c}" for c in _SUMMED)
    recent = ",\n  ".join(
        f"cast(sum(case when day >= as_of_day - {days} then {c} else 0 end) as bigint) as {c}_{days}d"
        for c in _SUMMED
        for days in _WINDOW_DAYS
    )
    return f"""
select
  as_of_day, as_of_day * {DAY_MS} as as_of_ms, customer_id,
  min(first_ms) as first_ms, max(last_ms) as last_ms,
  coalesce(min(registered_ms), min(first_ms)) as registered_ms,
  max(case when newest = 1 then last_plan end) as last_plan,
  min(day) as first_day, max(day) as last_day,
  max(case when upgrades + downgrades > 0 then day end) as changed_day,
  count(gap_days) as gaps, max(gap_days) as gap_max,
  cast(coalesce(sum(gap_days), 0) as bigint) as gap_days,
  cast(coalesce(sum(gap_days * gap_days), 0) as bigint) as gap_squares,
  {total},
  {recent}
from (
  select s.as_of_day, d.*,
    row_number() over (partition by s.as_of_day, d.customer_id order by d.day desc) as newest
  from ({customer_days_sql(session_days)}
  ) as d join {snapshots} as s on d.day < s.as_of_day
) as known
group by as_of_day, customer_id"""


_REGISTERED_SQL = "registered_ms < as_of_ms"
AT_RISK_SQL = f"cancels = 0 and {_REGISTERED_SQL}"
"""Registered and active before the cut-off, not cancelled before it."""


def features_sql(
    session_days: str, snapshots: str, features: tuple[Feature, ...] = FEATURES, *, at_risk: bool = True
) -> str:
    """``as_of_day``, ``customer_id`` and one double column per feature, for every customer at risk at each cut-off.

    ``at_risk=False`` keeps those who had cancelled by then: for protocols that leak, never for decisions.
    """
    columns = ",\n  ".join(f"cast(coalesce({f.sql}, 0) as double) as {f.name}" for f in features)
    return f"""
select as_of_day, customer_id,
  {columns}
from ({customers_sql(session_days, snapshots)}
) as customers
where {AT_RISK_SQL if at_risk else _REGISTERED_SQL}"""
