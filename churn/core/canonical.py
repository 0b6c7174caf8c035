"""From raw text columns to canonical events: how each column is read, and the rules a row must pass.

A raw table has ``file_no``, ``line_no`` and every raw column of the contract as text. :func:`judged_sql` reads it into
typed columns and writes down, per row, which rules it broke; :func:`incoming_sql` keeps the rows that broke none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from churn.core.events import DAY_MS, EVENT_COLUMNS, Column, SourceContract
from churn.core.raw_values import day_sql, id_sql, number_sql, text_sql, time_sql, whole_number_sql

TYPED_COLUMNS = tuple(c for c in EVENT_COLUMNS if c != "ingested_ms")

_FIRST_MS, _LAST_MS = 0.0, 4_102_444_800_000.0
"""1970 to 2100: an event time that a contract leaves unbounded must still be a date."""

_READS_AS = {
    "text": "text",
    "integer": "a whole number",
    "number": "a number",
    "epoch_ms": "a time in epoch milliseconds",
    "epoch_s": "a time in epoch seconds",
    "date": "a date",
    "day": "a date",
}


@dataclass(frozen=True)
class Rule:
    """One thing every row must satisfy. ``raw_<column>`` is the text as it came, ``<column>`` the value read."""

    name: str
    column: str
    check: Literal["given", "readable", "between", "known"]
    fails_sql: str
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] = ()


def rules(contract: SourceContract) -> tuple[Rule, ...]:
    """The row rules of a contract, in the order of its columns."""
    found: dict[str, Rule] = {}
    for name, column in contract.columns.items():
        if column.source is None or name == "customer_id":  # rows without a customer are set aside, not broken
            continue
        for rule in _column_rules(contract, name, column):
            found.setdefault(rule.name, rule)  # two columns read from one raw column share its rules
    return tuple(found.values())


def _column_rules(contract: SourceContract, name: str, column: Column) -> Iterator[Rule]:
    raw = f"raw_{name}"
    unread = f"{raw} is not null and {name} is null"
    if column.required:
        yield Rule(f"{column.source} is given", name, "given", f"{raw} is null")
    if vocabulary := {"kind": contract.kinds, "plan": contract.plans}.get(name):
        yield Rule(f"{column.source} is known to the contract", name, "known", unread, values=tuple(vocabulary))
    elif column.read != "text":
        yield Rule(f"{column.source} is {_READS_AS[column.read]}", name, "readable", unread)
    low, high = (_FIRST_MS, _LAST_MS) if name == "ts_ms" else (None, None)
    low, high = (low if column.min is None else column.min), (high if column.max is None else column.max)
    if low is not None or high is not None:
        bounds = [f"{name} < {low!r}"] * (low is not None) + [f"{name} > {high!r}"] * (high is not None)
        words = (
            f"between {low:g} and {high:g}"
            if low is not None and high is not None
            else (f"at least {low:g}" if low is not None else f"at most {high:g}")
        )
        fails = f"({' or '.join(bounds)})"
        yield Rule(f"{column.source} is {words}", name, "between", fails, minimum=low, maximum=high)


def judged_sql(contract: SourceContract, raw: str, *, forgotten: str | None = None) -> str:
    """``file_no``, ``line_no``, each canonical column read and as text, and ``broken``: the rules broken, or empty.

    ``forgotten``: a table of the ``customer_id`` whose rows count as without a customer.
    """
    sources = {name: c.source for name, c in contract.columns.items() if c.source is not None}
    texts = ",\n    ".join(f"{text_sql(_quoted(source))} as text_{name}" for name, source in sources.items())
    ids = ", ".join(
        f"{id_sql(f'text_{n}') if contract.columns[n].read == 'text' else f'text_{n}'} as raw_{n}" for n in sources
    )
    values = ",\n  ".join(f"{_value(contract, name)} as {name}" for name in TYPED_COLUMNS)
    broken = ",\n    ".join(f"case when {r.fails_sql} then {_text(r.name)} end" for r in rules(contract))
    nobody = "raw_customer_id is null and not malformed"
    if forgotten is not None:
        nobody = f"({nobody}) or coalesce(raw_customer_id in (select customer_id from {forgotten}), false)"
    return f"""
select *,
  case when malformed then 'the line is a JSON object' else concat_ws('; ',
    {broken}) end as broken
from (
  select file_no, line_no, malformed, {nobody} as without_customer,
  {", ".join(f"raw_{n}" for n in sources)},
  {values}
  from (select file_no, line_no, malformed, {ids}
    from (select file_no, line_no, malformed,
    {texts}
    from {raw}) as texts) as ids
) as typed"""


def customers_sql(contract: SourceContract, raw: str) -> str:
    """Each ``customer_id`` that a row of a raw table names, whatever else is wrong with the row."""
    source = contract.columns["customer_id"].source
    assert source is not None  # a customer is no constant
    text = text_sql(_quoted(source))
    return f"""
select distinct {id_sql("text")} as customer_id from (select {text} as text from {raw}) as texts
where text is not null"""


def counts_sql(judged: str) -> str:
    """One row: rows read, rows without a customer, rows that broke a rule."""
    return f"""
select count(*), count(case when without_customer then 1 end),
  count(case when not without_customer and broken <> '' then 1 end)
from {judged}"""


def broken_rules_sql(judged: str) -> str:
    """``rule`` and how many rows broke it."""
    return f"""
select rule, count(*) from (
  select unnest(string_split(broken, '; ')) as rule from {judged} where not without_customer and broken <> ''
) as listed group by rule order by rule"""


def quarantine_sql(contract: SourceContract, judged: str) -> str:
    """The rows that broke a rule, in order: ``line_no``, ``broken``, and the raw columns that are taken."""
    first = {c.source: name for name, c in reversed(list(contract.columns.items())) if c.source is not None}
    texts = ", ".join(f"raw_{first[source]} as {_quoted(source)}" for source in contract.sources)
    return f"""
select line_no, broken, {texts} from {judged} where not without_customer and broken <> '' order by line_no"""


def accepted_sql(judged: str) -> str:
    """Canonical events of the rows that broke no rule, with ``file_no`` and ``day``."""
    return f"""
select file_no, {", ".join(TYPED_COLUMNS)}, cast(floor(cast(ts_ms as double) / {DAY_MS}) as bigint) as day
from {judged} where not without_customer and broken = ''"""


def incoming_sql(judged: str) -> str:
    """The accepted events of a judged table, each once: :func:`distinct_sql`."""
    return distinct_sql(f"({accepted_sql(judged)})")


def distinct_sql(accepted: str) -> str:
    """Accepted events with ``day`` and ``copy``.

    Rows equal in every column are the same event delivered again, unless one file holds several of them: these are
    numbered by ``copy``, so that overlapping files add nothing and true repetitions are not lost.
    """
    columns = ", ".join(TYPED_COLUMNS)
    return f"""
select distinct {columns}, copy, day
from (
  select {columns}, day, row_number() over (partition by file_no, {columns} order by ts_ms) as copy
  from {accepted} as accepted
) as numbered"""


def merged_sql(held: str, incoming: str, *, now_ms: int) -> str:
    """A day's partition with the incoming events of that day that it does not hold yet, in a total order."""
    columns = ", ".join(TYPED_COLUMNS)
    same = " and ".join(f"i.{c} is not distinct from h.{c}" for c in (*TYPED_COLUMNS, "copy"))
    return f"""
select {columns}, ingested_ms from {held}
union all
select {columns}, cast({now_ms} as bigint) as ingested_ms from {incoming} as i
where not exists (
  select 1 from (
    select *, row_number() over (partition by {columns} order by ingested_ms) as copy from {held}
  ) as h where {same})
order by {columns}, ingested_ms"""


def _value(contract: SourceContract, name: str) -> str:
    """SQL that reads ``raw_<name>`` as the canonical type; null where it cannot be read."""
    column, sql_type = contract.columns.get(name), EVENT_COLUMNS[name]
    if column is None:
        return f"cast(null as {sql_type})"
    if column.constant is not None:
        return f"cast({_text(column.constant)} as {sql_type})"
    raw = f"raw_{name}"
    if vocabulary := {"kind": contract.kinds, "plan": contract.plans}.get(name):
        cases = " ".join(f"when {_text(source)} then {_text(target)}" for source, target in vocabulary.items())
        return f"case {raw} {cases} end"
    match column.read:
        case "text":
            return raw
        case "day":
            return day_sql(raw)
        case "date":
            return time_sql(raw)
        case "number":
            return number_sql(raw)
        case "integer" | "epoch_ms":
            return whole_number_sql(raw, sql_type)
        case "epoch_s":
            return whole_number_sql(raw, sql_type, times=1000)


def _quoted(source: str) -> str:
    return '"' + source.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
