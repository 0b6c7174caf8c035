"""The files of one ingestion: read, judged, kept apart, and merged into the lake a day at a time.

However many files there are and however large they are, what is held at a time is a piece of a file, then one of a day.
What lies between the two is written aside as parquet.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from churn.core.canonical import distinct_sql, merged_sql
from churn.core.events import EVENT_COLUMNS, SourceContract
from churn.errors import ContractViolation
from churn.io.engines.duckdb import DuckDBEngine
from churn.io.engines.engine import Engine, SqlError
from churn.io.judging import PIECE_LINES, Forgotten, Judge, JudgedFile
from churn.io.lake import Lake, even_parts, write_parts
from churn.io.raw import RawFile, write_raw

if TYPE_CHECKING:
    import pandas as pd

_TYPES = {"varchar": pa.string(), "bigint": pa.int64(), "integer": pa.int32(), "double": pa.float64()}
_NO_EVENTS = pa.schema([(name, _TYPES[sql_type]) for name, sql_type in EVENT_COLUMNS.items()]).empty_table()

_ROW_GROUP = 1 << 20
"""Events of a partition that are held at a time."""


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
    """What the files read so far come to."""

    def __init__(
        self,
        engine: Engine,
        reader: DuckDBEngine,
        contract: SourceContract,
        lake: Lake,
        folder: Path,
        *,
        forgotten: Forgotten = lambda _: (),
        sampled: int = 1_000,
        piece_lines: int = PIECE_LINES,
    ) -> None:
        """``engine`` judges and merges what ``reader`` reads; both see ``folder``, which takes what lies in between."""
        self._engine, self._reader, self._contract, self._lake, self._folder = engine, reader, contract, lake, folder
        self._judge = Judge(engine, contract, folder, forgotten, sampled, piece_lines)
        self._accepted: dict[int, list[Path]] = defaultdict(list)
        self._sample: list[pa.Table] = []

    def read(self, file: RawFile, file_no: int) -> FileReport:
        """Read one file and put its broken rows into quarantine.

        A refused file leaves no row, and its report says why.
        """
        name, raw = file.path.name, self._folder / f"raw-{file_no}.parquet"
        try:
            write_raw(self._reader, file, self._contract, raw)
        except SqlError as e:
            return FileReport(name, file.fingerprint, rejected=f"{name} cannot be read as {file.format}: {e}")
        except ContractViolation as e:
            return FileReport(name, file.fingerprint, rejected=str(e))
        judged = self._judge.judge(raw, file_no)
        raw.unlink()
        report = _report(file, judged)
        try:
            _check_limits(report, self._contract, judged.forgotten)
        except ContractViolation as e:
            judged.discard()
            return FileReport(name, file.fingerprint, rejected=str(e))
        for day, path in judged.accepted:
            self._accepted[day].append(path)
        self._sample += judged.sample
        if judged.quarantine:
            self._write_quarantine(file, judged)
        return report

    @property
    def sample(self) -> "pd.DataFrame":
        """``raw_<column>`` and ``<column>`` of rows with a customer: evenly of each file."""
        frame: pd.DataFrame = pa.concat_tables(self._sample).to_pandas()
        return frame

    @property
    def days(self) -> list[date]:
        """The days that accepted rows fall on, in order."""
        return [_day(number) for number in sorted(self._accepted)]

    def publish(self, day: date, now_ms: int) -> int:
        """Merge a day's accepted rows into its partition, in one rename. Returns how many events are new."""
        path, held, before = self._lake.event_partition(day), "no_events", 0
        if path.is_file():
            held, before = "held", pq.read_metadata(path).num_rows
            self._engine.view(held, [path])
        else:
            self._engine.register(held, _NO_EVENTS)
        self._engine.view("accepted", self._accepted[_number(day)])
        merged = self._engine.parts(merged_sql(held, f"({distinct_sql('accepted')})", now_ms=now_ms))
        parts = even_parts(merged, _ROW_GROUP)
        return write_parts(path, parts, row_group=_ROW_GROUP, more_than=before) - before

    def _write_quarantine(self, file: RawFile, judged: JudgedFile) -> None:
        """Line, rules broken, and the columns that are taken."""
        path = self._lake.quarantine / f"{file.path.name.split('.')[0]}-{file.fingerprint[:12]}.parquet"
        write_parts(path, (_named(pq.read_table(piece), file) for piece in judged.quarantine), row_group=PIECE_LINES)


def _named(rows: pa.Table, file: RawFile) -> pa.Table:
    return rows.add_column(0, "file", pa.array([file.path.name] * rows.num_rows, pa.string()))


def _report(file: RawFile, judged: JudgedFile) -> FileReport:
    return FileReport(
        file.path.name,
        file.fingerprint,
        read=judged.read,
        accepted=judged.read - judged.without_customer - judged.broken,
        set_aside=judged.without_customer,
        quarantined=judged.broken,
        broken_rules=dict(sorted(judged.broken_rules.items())),
    )


def _check_limits(report: FileReport, contract: SourceContract, forgotten: int) -> None:
    limits, read = contract.limits, report.read
    if read == 0:
        raise ContractViolation(f"{report.file} holds no rows")
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
