"""SQL over the events of one request: judged by the rules of ingestion, seen up to the cut-off, counted.

``lines`` has ``line_no`` (from 0) and ``line``, the text of a JSON object; ``cutoff`` one row with ``as_of_day`` (days
since 1970-01-01 UTC). ``judged`` is a table of what :func:`judged_events_sql` gives.
"""

from churn.core.canonical import incoming_sql, judged_sql, rules
from churn.core.events import DAY_MS, SourceContract
from churn.core.features import customers_sql, features_sql, session_days_sql
from churn.core.json_lines import json_lines_sql

_SEEN = "not without_customer and not after_cutoff"


def judged_events_sql(contract: SourceContract, lines: str, cutoff: str) -> str:
    """What ingestion makes of the events (:func:`churn.core.canonical.judged_sql`), and which lie ``after_cutoff``.

    An event whose time breaks a rule is not after the cut-off: nobody knows when it was.
    """
    raw = f"(select 0 as file_no, * from ({json_lines_sql(contract, lines)}) as read)"
    timely = " and ".join(f"not ({r.fails_sql})" for r in rules(contract) if r.column == "ts_ms")
    return f"""
select *, coalesce(not without_customer and {timely} and ts_ms >= (select as_of_day from {cutoff}) * {DAY_MS}, false)
  as after_cutoff
from ({judged_sql(contract, raw)}) as events"""


def summary_sql(contract: SourceContract, judged: str) -> str:
    """One row: events malformed, without a customer, after the cut-off, broken; customers, one of them; then a
    list of how often each needed column has a value.
    """
    first = {c.source: name for name, c in reversed(list(contract.columns.items()))}
    values = ", ".join(f"count(raw_{first[source]}) filter (where not after_cutoff)" for source in contract.needed)
    return f"""
select count_if(malformed), count_if(without_customer), count_if(after_cutoff), count_if({_SEEN} and broken <> ''),
  count(distinct customer_id) filter (where {_SEEN}), min(customer_id) filter (where {_SEEN}), [{values}]
from {judged}"""


def names_sql(lines: str, judged: str) -> str:
    """Every name in the events that are not after the cut-off."""
    return f"""
select distinct unnest(json_keys(line)) from {lines} join {judged} using (line_no) where not after_cutoff"""


def malformed_sql(judged: str) -> str:
    """``line_no`` of what is no object, in order."""
    return f"select line_no from {judged} where malformed order by line_no"


def broken_events_sql(judged: str) -> str:
    """``line_no`` and ``broken`` of the events that break rules, in order."""
    return f"select line_no, broken from {judged} where {_SEEN} and broken <> '' order by line_no"


def another_customer_sql(judged: str) -> str:
    """``line_no`` of the first event that is not the first event's customer's."""
    seen = f"from {judged} where {_SEEN}"
    return f"select min(line_no) {seen} and customer_id <> (select arg_min(customer_id, line_no) {seen})"


def request_features_sql(judged: str, cutoff: str) -> str:
    """The nightly features, :func:`churn.core.features.features_sql`, of whoever is at risk."""
    return features_sql(_session_days(judged), cutoff)


def standing_sql(judged: str, cutoff: str) -> str:
    """``cancels``, ``registered_ms`` and ``as_of_ms`` of whoever has events before the cut-off."""
    return f"select cancels, registered_ms, as_of_ms from ({customers_sql(_session_days(judged), cutoff)}) as customers"


def _session_days(judged: str) -> str:
    seen = f"(select * from {judged} where not after_cutoff)"
    return f"({session_days_sql(f'({incoming_sql(seen)})')})"
