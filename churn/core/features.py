"""The features: one definition each, and the SQL that computes them for any set of cut-offs in one pass.

Training, nightly scoring, the REST API and the validation suite all read :data:`FEATURES`.

The SQL keeps to a small dialect subset (DuckDB's, that sqlglot can carry elsewhere): ``sum(case …)``,
``row_number()``, ``lag()``, ``least()``, integer milliseconds, explicit casts, ``coalesce`` around empty sums, and a
total order for "last". It goes through a (customer, session, day) pre-aggregate, exact because every cut-off is a
midnight. Sums are of whole numbers and are divided last: neither the order of the rows nor where days are divided into
those before and those after changes a bit.
"""

from collections.abc import Sequence

from churn.core.core_features import CORE_FEATURES
from churn.core.events import DAY_MS, KINDS
from churn.core.extended_features import EXTENDED_FEATURES
from churn.core.feature import Feature

__all__ = [
    "AT_RISK_SQL", "CORE_FEATURES", "EXTENDED_FEATURES", "FEATURES", "FEATURE_NAMES", "LOOK_BACKS", "Feature",
    "customers_sql", "features_from_totals_sql", "features_sql", "session_days_sql", "totals_sql", "visits_sql",
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
LOOK_BACKS = (0, *_WINDOW_DAYS)
"""Days before a cut-off up to which its features take totals."""
_TOTALS = {
    "first_ms": "min(first_ms)",
    "last_ms": "max(last_ms)",
    "registered_ms": "min(registered_ms)",
    "last_plan": "case when max(place * 2 + cast(last_plan = 'paid' as integer)) % 2 = 0 then 'free' else 'paid' end",
    "first_day": "min(first_day)",
    "last_day": "max(last_day)",
    "changed_day": "max(changed_day)",
    "gap_max": "max(gap_max)",
    **{name: f"cast(sum({name}) as bigint)" for name in ("gaps", "gap_days", "gap_squares", *_SUMMED)},
}
"""What is known of a customer, by name, of rows that each tell the same of some of the customer's days."""

_KIND_PLACE_SQL = "case kind {} end".format(" ".join(f"when '{k}' then {sorted(KINDS).index(k)}" for k in KINDS))
_PLACE_IN_DAY_SQL = (
    f"((ts_ms - day * {DAY_MS} - {DAY_MS // 2}) * {1 << 32} + coalesce(item_in_session, -1)) * {2 * len(KINDS)} "
    f"+ {_KIND_PLACE_SQL} * 2 + cast(plan = 'paid' as integer)"
)
"""One whole number for (ts_ms, item_in_session, kind, plan): a total order of a session's events within a day, so that
no tie is left to an engine. Odd where the plan is paid. From midday on, for half a day, 32 bits of an item, and the
kinds leave room in 63 bits; to look for the latest row by itself would take longer than all the rest.
"""


def session_days_sql(events: str, *, known_before_ms: int | None = None) -> str:
    """One row per (customer, session, UTC day): counts by kind, first and last event, the plan at the last one.

    ``known_before_ms`` leaves out what had not been ingested by then, to reproduce a past run.
    """
    known = "" if known_before_ms is None else f"\n  where ingested_ms < {int(known_before_ms)}"
    counts = ",\n  ".join(
        f"cast(sum(cast({condition} as integer)) as integer) as {column}" for column, condition in _COUNTED.items()
    )
    return f"""
select
  customer_id, session_id, day,
  min(ts_ms) as first_ms, max(ts_ms) as last_ms,
  min(registered_ms) as registered_ms,
  case when max({_PLACE_IN_DAY_SQL}) % 2 = 0 then 'free' else 'paid' end as last_plan,
  {counts}
from (
  select *, cast(floor(cast(ts_ms as double) / {DAY_MS}) as bigint) as day
  from {events}{known}
) as e
group by customer_id, session_id, day"""


def visits_sql(session_days: str, before: tuple[str, str] | None = None) -> str:
    """What each (customer, session, day) adds to its customer's totals, given what came before it.

    A session counts on the day it begins. Its time counts up to the day's last event, so that the days up to any
    cut-off add up to the time from its first event to its last one known. The days since the active day before are
    told by the first to end of the day's rows, which also counts the active day. ``place`` is the order of last events:
    no two rows of a customer share one.

    ``before``: two tables of the days before, where ``session_days`` are not the first of the log. One has
    ``customer_id, session_id, before_ms``, the last event before them of each session that goes on in them; the other
    is what :func:`totals_sql` finds up to them.
    """
    before_ms = "lag(last_ms) over (partition by customer_id, session_id order by day)"
    before_day = "lag(day) over (partition by customer_id order by last_ms, session_id)"
    parts = session_days
    if before:
        ended, totals = before
        before_ms, before_day = f"coalesce({before_ms}, session_before_ms)", f"coalesce({before_day}, day_before)"
        parts = f"""(
    select d.*, e.before_ms as session_before_ms, t.last_day as day_before
    from {session_days} as d
    left join {ended} as e on e.customer_id = d.customer_id and e.session_id = d.session_id
    left join {totals} as t on t.customer_id = d.customer_id
  )"""
    return f"""
select *,
  day as first_day, day as last_day,
  case when upgrades + downgrades > 0 then day end as changed_day,
  case when before_ms is null then 1 else 0 end as sessions,
  last_ms - coalesce(before_ms, first_ms) as session_ms,
  case when gap_max = 0 then 0 else 1 end as active_days,
  case when gap_max > 0 then 1 else 0 end as gaps,
  coalesce(gap_max, 0) as gap_days,
  coalesce(gap_max * gap_max, 0) as gap_squares
from (
  select *,
    {before_ms} as before_ms,
    day - {before_day} as gap_max,
    row_number() over (partition by customer_id order by last_ms, session_id) as place
  from {parts} as parts
) as visits"""


def totals_sql(session_days: str, before: tuple[str, str] | None = None) -> str:
    """One row per customer: what all days up to and with these ones come to, given the same up to these ones.

    ``before`` as of :func:`visits_sql`. Sums of whole numbers, least and greatest values: exact, however the days are
    divided.
    """
    names = ", ".join(_TOTALS)
    rows = f"select customer_id, place, {names} from ({visits_sql(session_days, before)}\n) as visits"
    if before:
        rows = f"select customer_id, 0 as place, {names} from {before[1]}\nunion all\n{rows}"
    found = ",\n  ".join(f"{sql} as {name}" for name, sql in _TOTALS.items())
    return f"""
select customer_id,
  {found}
from (
{rows}
) as known
group by customer_id"""


def customers_sql(session_days: str, snapshots: str) -> str:
    """One row per (cut-off, customer) over what happened before the cut-off, in all and in the last days before it.

    ``snapshots`` has a column ``as_of_day`` (days since 1970-01-01 UTC). Without a registration time, the first
    event stands for it.
    """
    known = _TOTALS | {"registered_ms": "coalesce(min(registered_ms), min(first_ms))"}
    total = ",\n  ".join(f"{sql} as {name}" for name, sql in known.items())
    recent = ",\n  ".join(
        f"cast(sum(case when day >= as_of_day - {days} then {c} else 0 end) as bigint) as {c}_{days}d"
        for c in _SUMMED
        for days in _WINDOW_DAYS
    )
    return f"""
select
  as_of_day, as_of_day * {DAY_MS} as as_of_ms, customer_id,
  {total},
  {recent}
from (
  select s.as_of_day, d.*
  from ({visits_sql(session_days)}
  ) as d join {snapshots} as s on d.day < s.as_of_day
) as known
group by as_of_day, customer_id"""


def _customers_from_totals_sql(as_of_day: int, totals: Sequence[str]) -> str:
    """The same of one cut-off: what happened in the last days is the difference of two totals."""
    now, *then = (f"t{days}" for days in LOOK_BACKS)
    known = [f"coalesce({now}.registered_ms, {now}.first_ms) as registered_ms"]
    known += [f"{now}.{name}" for name in _TOTALS if name != "registered_ms"]
    known += [f"{now}.{c} - coalesce(t{days}.{c}, 0) as {c}_{days}d" for c in _SUMMED for days in _WINDOW_DAYS]
    joined = [f"left join {table} as {t} on {t}.customer_id = {now}.customer_id" for t, table in zip(then, totals[1:])]
    columns, joins = ",\n  ".join(known), "\n".join(joined)
    return f"""
select
  cast({as_of_day} as bigint) as as_of_day, cast({as_of_day} as bigint) * {DAY_MS} as as_of_ms, {now}.customer_id,
  {columns}
from {totals[0]} as {now}
{joins}"""


_REGISTERED_SQL = "registered_ms < as_of_ms"
AT_RISK_SQL = f"cancels = 0 and {_REGISTERED_SQL}"
"""Registered and active before the cut-off, not cancelled before it."""


def features_sql(
    session_days: str, snapshots: str, features: tuple[Feature, ...] = FEATURES, *, at_risk: bool = True
) -> str:
    """``as_of_day``, ``customer_id`` and one double column per feature, for every customer at risk at each cut-off.

    ``at_risk=False`` keeps those who had cancelled by then: for protocols that leak, never for decisions.
    """
    return _features_sql(customers_sql(session_days, snapshots), features, AT_RISK_SQL if at_risk else _REGISTERED_SQL)


def features_from_totals_sql(as_of_day: int, totals: Sequence[str]) -> str:
    """:func:`features_sql` of one cut-off, to the bit, from :func:`totals_sql` up to it and up to days before it.

    ``totals``: a table for each of LOOK_BACKS, in their order.
    """
    return _features_sql(_customers_from_totals_sql(as_of_day, totals), FEATURES, AT_RISK_SQL)


def _features_sql(customers: str, features: tuple[Feature, ...], who: str) -> str:
    columns = ",\n  ".join(f"cast(coalesce({f.sql}, 0) as double) as {f.name}" for f in features)
    return f"""
select as_of_day, customer_id,
  {columns}
from ({customers}
) as customers
where {who}"""
