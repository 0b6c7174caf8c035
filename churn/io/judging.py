"""The rows of one raw file, judged by an engine a piece at a time and written aside: accepted ones by day, broken ones.

However large a file is, one piece of it is held at a time.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from churn.core.canonical import (
    accepted_sql,
    broken_rules_sql,
    counts_sql,
    customers_sql,
    judged_sql,
    quarantine_sql,
    rules,
)
from churn.core.events import SourceContract
from churn.io.engines.engine import Engine

PIECE_LINES = 1_000_000
"""Lines that are judged at a time: some 100 MB of them."""

Forgotten = Callable[[Iterable[str]], Collection[str]]
"""Which of these customers no file may bring back."""


@dataclass
class JudgedFile:
    """What a file's rows came to."""

    read: int = 0
    without_customer: int = 0
    """Those of the forgotten among them."""
    forgotten: int = 0
    broken: int = 0
    broken_rules: Counter[str] = field(default_factory=Counter)
    accepted: list[tuple[int, Path]] = field(default_factory=list)
    """Days (since 1970-01-01), and a file of accepted rows of each; a day may have several."""
    quarantine: list[Path] = field(default_factory=list)
    """Files of broken rows, in the order of their lines."""
    sample: list[pa.Table] = field(default_factory=list)
    """``raw_<column>`` and ``<column>`` of every so-many-th line with a customer."""

    def discard(self) -> None:
        for path in (*self.quarantine, *(path for _, path in self.accepted)):
            path.unlink()


@dataclass(frozen=True)
class Judge:
    """Judges files of raw rows (:func:`churn.io.raw.write_raw`)."""

    engine: Engine
    contract: SourceContract
    folder: Path
    """Takes what is written aside."""
    forgotten: Forgotten
    sampled: int
    """Rows of each file that its sample holds at most."""
    piece_lines: int

    def judge(self, raw: Path, file_no: int) -> JudgedFile:
        found = JudgedFile()
        self.engine.view("raw", [raw])
        rows, last = self.engine.rows("select count(*), max(line_no) from raw")[0]
        step = -(-rows // self.sampled)
        for first in range(1, (last or 0) + 1, self.piece_lines):
            piece = f"line_no between {first} and {first + self.piece_lines - 1}"
            self._judge(f"(select {file_no} as file_no, * from raw where {piece})", found)
            found.sample.append(self._sample(step))
            self._keep(self.folder / f"judged-{file_no}-{first}", found)
        return found

    def _judge(self, raw: str, found: JudgedFile) -> None:
        gone = pa.array(sorted(self.forgotten(self._customers(raw))), pa.string())
        self.engine.register("forgotten", pa.table({"customer_id": gone}))
        judged = judged_sql(self.contract, raw, forgotten="forgotten")
        self.engine.execute(f"create or replace temp table judged as {judged}")
        read, without_customer, broken = self.engine.rows(counts_sql("judged"))[0]
        found.read += read
        found.without_customer += without_customer
        found.broken += broken
        if broken:
            found.broken_rules.update(dict(self.engine.rows(broken_rules_sql("judged"))))
        if len(gone):
            theirs = "raw_customer_id in (select customer_id from forgotten)"
            found.forgotten += self.engine.rows(f"select count(*) from judged where {theirs}")[0][0]

    def _customers(self, raw: str) -> Iterator[str]:
        """Asked for only if somebody wants to know: mostly nobody was forgotten."""
        for (customer,) in self.engine.rows(customers_sql(self.contract, raw)):
            yield customer

    def _sample(self, step: int) -> pa.Table:
        columns = sorted({c for r in rules(self.contract) for c in (f"raw_{r.column}", r.column)})
        seen = f"not without_customer and not malformed and line_no % {step} = 0"
        return self.engine.table(f"select {', '.join(columns)} from judged where {seen} order by line_no")

    def _keep(self, folder: Path, found: JudgedFile) -> None:
        folder.mkdir()
        accepted, at = self.engine.table(f"{accepted_sql('judged')} order by day"), 0
        for count in accepted["day"].value_counts().to_pylist():  # in the order of the rows
            day, rows = count["values"], count["counts"]
            found.accepted.append((day, _written(folder / f"{day}.parquet", accepted.slice(at, rows))))
            at += rows
        quarantine = self.engine.table(quarantine_sql(self.contract, "judged"))
        if quarantine.num_rows:
            found.quarantine.append(_written(folder / "broken.parquet", quarantine))


def _written(path: Path, table: pa.Table) -> Path:
    pq.write_table(table, path, compression="zstd")
    return path
