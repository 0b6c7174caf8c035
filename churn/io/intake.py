"""The files of one ingestion inside the engine: read, judged row by row, kept apart, merged into the lake."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from churn.core.canonical import (
    broken_rules_sql,
    counts_sql,
    incoming_sql,
    judged_sql,
    merged_sql,
    rules,
)
from churn.core.events import EVENT_COLUMNS, SourceContract
from churn.errors import ContractViolation
from churn.io.engines.duckdb import DuckDBEngine, SqlError
from churn.io.lake import Lake, write_parquet
from churn.io.raw import RawFile, raw_sql

if TYPE_CHECKING:
    import pandas as pd

_BROKEN = "not without_customer and broken <> ''"


@dataclass(frozen=True)
class FileReport:
    """What one file came to: read = accepted + set_aside + quarantined."""

    file: str
    fingerprint: str
    read: int = 0
    accepted: int = 0
    set_aside: int = 0
    quarantined: int = 0
    broken_rules: Mapping[str, int] = field(default_factory=dict)
    rejected: str | None = None
    """Why the whole file was refused; nothing of it was taken."""
    ingested_before: bool = False


class Intake:
    """Judged rows of the files read so far, in the table ``judged``."""

    def __init__(
        self,
        engine: DuckDBEngine,
        contract: SourceContract,
        forgotten: Callable[[Iterable[str]], Collection[str]] = lambda _: (),
    ) -> None:
        """``forgotten``: which of these customers no file may bring back; their rows are set aside."""
        self._engine = engine
        self._contract = contract
        self._forgotten = forgotten
        texts = ", ".join(f'cast(null as varchar) as "{source}"' for source in contract.sources)
        nothing = (
            f"(select cast(null as integer) as file_no, cast(null as bigint) as line_no, false as malformed, {texts})"
        )
        engine.execute(f"create table judged as select * from ({judged_sql(contract, nothing)}) as typed where false")

    def read(self, file: RawFile, file_no: int) -> FileReport:
        """Read one file. A refused file leaves no row, and its report says why."""
        name, fingerprint = file.path.name, file.fingerprint
        try:
            raw = raw_sql(self._engine, file, self._contract, file_no)
            self._engine.execute(f"create or replace table fresh as {judged_sql(self._contract, f'({raw})')}")
            forgotten = self._set_forgotten_aside()
            report = self._count_fresh(file)
            _check_limits(report, self._contract, forgotten)
        except SqlError as e:
            return FileReport(name, fingerprint, rejected=f"{name} cannot be read as {file.format}: {e}")
        except ContractViolation as e:
            return FileReport(name, fingerprint, rejected=str(e))
        self._engine.execute("insert into judged by name select * from fresh")
        return report

    def _set_forgotten_aside(self) -> int:
        """Their rows count as without a customer from here on, and are kept nowhere; how many they are."""
        there = self._engine.rows("select distinct raw_customer_id from fresh where raw_customer_id is not null")
        if not (found := sorted(self._forgotten(customer for (customer,) in there))):
            return 0
        self._engine.register("forgotten", pa.table({"customer_id": pa.array(found, pa.string())}))
        theirs = "raw_customer_id in (select customer_id from forgotten)"
        self._engine.execute(f"update fresh set without_customer = true where {theirs}")
        return int(self._engine.rows(f"select count(*) from fresh where {theirs}")[0][0])

    def _count_fresh(self, file: RawFile) -> FileReport:
        read, set_aside, broken = self._engine.rows(counts_sql("fresh"))[0]
        if read == 0:
            raise ContractViolation(f"{file.path.name} holds no rows")
        rules_broken = dict(self._engine.rows(broken_rules_sql("fresh"))) if broken else {}
        accepted = read - set_aside - broken
        return FileReport(file.path.name, file.fingerprint, read, accepted, set_aside, broken, rules_broken)

    def sample(self, most: int) -> "pd.DataFrame":
        """``raw_<column>`` and ``<column>`` of the rows with a customer; beyond ``most``, every n-th of them."""
        there = "from judged where not without_customer and not malformed"
        rows = self._engine.rows(f"select count(*) {there}")[0][0]
        step = max(1, -(-rows // most))
        columns = sorted({c for r in rules(self._contract) for c in (f"raw_{r.column}", r.column)})
        frame: pd.DataFrame = self._engine.table(
            f"select {', '.join(columns)} {there} and line_no % {step} = 0"
        ).to_pandas()
        return frame

    def write_quarantine(self, lake: Lake, file: RawFile, file_no: int) -> None:
        """The file's broken rows: line, rules broken, and the columns that are taken, so nothing personal."""
        texts = ", ".join(f'raw_{n} as "{c.source}"' for n, c in self._contract.columns.items() if c.source is not None)
        table = self._engine.table(
            f"select line_no, broken, {texts} from judged where file_no = {file_no} and {_BROKEN} order by line_no"
        )
        name = pa.array([file.path.name] * table.num_rows, pa.string())
        path = lake.quarantine / f"{file.path.name.split('.')[0]}-{file.fingerprint[:12]}.parquet"
        write_parquet(path, table.add_column(0, "file", name))

    def prepare(self) -> list[date]:
        """Collect the accepted rows of all files; returns the days they fall on."""
        self._engine.execute(f"create or replace table incoming as {incoming_sql('judged')}")
        return [_day(n) for (n,) in self._engine.rows("select distinct day from incoming order by day")]

    def publish(self, lake: Lake, day: date, now_ms: int) -> int:
        """Merge a day's accepted rows into its partition, in one rename. Returns how many events are new."""
        path, held = lake.event_partition(day), 0
        if path.is_file():
            self._engine.view("held", [path])
            held = self._engine.rows("select count(*) from held")[0][0]
        else:
            none = ", ".join(f"cast(null as {t}) as {c}" for c, t in EVENT_COLUMNS.items())
            self._engine.execute(f"create or replace view held as select * from (select {none}) as n where false")
        merged = self._engine.table(merged_sql("held", "incoming", day=_number(day), now_ms=now_ms))
        if merged.num_rows > held:
            write_parquet(path, merged)
        return int(merged.num_rows - held)


def _check_limits(report: FileReport, contract: SourceContract, forgotten: int) -> None:
    limits, read = contract.limits, report.read
    # A handful of rows is no share: ten broken ones, or a hundred visitors, are always let pass.
    if report.quarantined > max(10, limits.max_bad_share * read) or report.quarantined == read:
        worst = ", ".join(f"{rule}: {n:,}" for rule, n in sorted(report.broken_rules.items(), key=lambda x: -x[1]))
        raise ContractViolation(
            f"{report.file}: {report.quarantined:,} of {read:,} rows break the contract {contract.name!r} "
            f"(at most {limits.max_bad_share:.0%} may). Broken rules, with the rows that break them: {worst}"
        )
    if report.set_aside - forgotten > max(100, limits.max_without_customer_share * read):
        raise ContractViolation(
            f"{report.file}: {report.set_aside:,} of {read:,} rows have no customer (at most "
            f"{limits.max_without_customer_share:.0%} may): is {contract.columns['customer_id'].source!r} its column?"
        )


def _day(number: int) -> date:
    return date(1970, 1, 1) + timedelta(days=number)


def _number(day: date) -> int:
    return (day - date(1970, 1, 1)).days
