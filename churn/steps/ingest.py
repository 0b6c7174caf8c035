"""Ingest: raw log files become canonical daily partitions; what breaks the contract is kept apart and counted."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from churn.core.canonical import TYPED_COLUMNS, events_sql, judged_sql, rules
from churn.core.events import DAY_MS, EVENT_COLUMNS, SourceContract
from churn.errors import BadInput, ContractViolation, NotReady
from churn.io.engines.duckdb import DuckDBEngine, open_engine
from churn.io.lake import Lake, write_json, write_parquet
from churn.io.raw import RawFile, find_raw_files, load_contract, stage_raw
from churn.io.validation import validate_events
from churn.settings import Settings

# Great Expectations reads at most this many rows of one ingestion (about a gigabyte); the SQL rules read every row.
_VALIDATED_ROWS = 1_000_000


@dataclass(frozen=True)
class FileReport:
    """What one file came to: read = accepted + set_aside + quarantined."""

    file: str
    fingerprint: str
    read: int = 0
    accepted: int = 0
    set_aside: int = 0
    quarantined: int = 0
    broken_rules: dict[str, int] = field(default_factory=dict)
    rejected: str | None = None
    """Why the whole file was refused; nothing of it was taken."""
    ingested_before: bool = False


@dataclass(frozen=True)
class IngestReport:
    """What an ingestion came to. ``new_events`` were not in the lake before."""

    read: int
    accepted: int
    set_aside: int
    quarantined: int
    new_events: int
    files: int
    rejected_files: dict[str, str]
    files_ingested_before: int
    broken_rules: dict[str, int]
    partitions_written: int
    first_day: str | None
    last_day: str | None
    validation: dict[str, object] | None
    seconds: float


def ingest(
    settings: Settings, paths: Sequence[Path] = (), *, progress: Callable[[str], None] = lambda _: None
) -> IngestReport:
    """Ingest files and folders (default: the landing folder).

    A file that was ingested before changes nothing. A file that breaks a file-level rule is refused whole and named
    in the report; the others are ingested. Raises NotReady when there is no raw file.
    """
    started = time.monotonic()
    contract = load_contract(settings.contract)
    lake = Lake(settings.data_home)
    files = _found(settings, paths)
    with lake.lock("ingest"), open_engine() as engine:
        known = {f.fingerprint: report for f in files if (report := _receipt(lake, f))}
        fresh = list({f.fingerprint: f for f in files if f.fingerprint not in known}.values())
        engine.execute(_empty_judged(contract))
        reports = [_judge(engine, f, i, contract, progress) for i, f in enumerate(fresh)]
        validation = _validate(engine, contract, lake, progress)
        _write_quarantine(engine, lake, fresh, contract)
        new_events, days = _publish(engine, lake, progress)
        for report in reports:
            if report.rejected is None:
                write_json(lake.receipt(report.fingerprint), asdict(report))
        every = {r.fingerprint: r for r in reports} | known
        summary = _summary([replace(every[f.fingerprint], file=f.path.name) for f in files])
        held = lake.event_days()
    report = IngestReport(
        **summary,
        new_events=new_events,
        partitions_written=days,
        first_day=str(held[0]) if held else None,
        last_day=str(held[-1]) if held else None,
        validation=validation,
        seconds=round(time.monotonic() - started, 2),
    )
    if fresh:  # the same files again leave even the report as it is
        write_json(lake.reports / "ingest.json", asdict(report))
    return report


def ingest_or_refuse(
    settings: Settings, paths: Sequence[Path] = (), *, progress: Callable[[str], None] = lambda _: None
) -> IngestReport:
    """Ingest, then raise ContractViolation if a file was refused; the others are in the lake by then."""
    report = ingest(settings, paths, progress=progress)
    refuse_rejected(report)
    return report


def refuse_rejected(report: IngestReport) -> None:
    """Raise ContractViolation naming every refused file, if there is one; the others are in the lake by then."""
    if report.rejected_files:
        listed = "\n".join(f"- {name}: {why}" for name, why in report.rejected_files.items())
        raise ContractViolation(
            f"{len(report.rejected_files)} of {report.files} files were refused whole; nothing of them was taken:\n"
            f"{listed}\nMend them, or move them out of the folder, and ingest again."
        )


def _found(settings: Settings, paths: Sequence[Path]) -> list[RawFile]:
    if not paths and not settings.landing_dir.is_dir():
        raise NotReady(f"there is no landing folder {settings.landing_dir}; put raw logs there or name a path")
    files = find_raw_files(paths or (settings.landing_dir,))
    if not files:
        where = ", ".join(map(str, paths or (settings.landing_dir,)))
        raise NotReady(f"no raw log in {where}: expected .json, .jsonl, .csv (also .gz) or .parquet files")
    return files


def _receipt(lake: Lake, file: RawFile) -> FileReport | None:
    path = lake.receipt(file.fingerprint)
    return replace(FileReport(**json.loads(path.read_text())), ingested_before=True) if path.is_file() else None


def _empty_judged(contract: SourceContract) -> str:
    columns = ", ".join(f'null as "{source}"' for source in contract.sources)
    none = f"(select null as file_no, null as line_no, null as malformed, {columns} where false)"
    # Typed by the query itself: created from no rows of text.
    text = ", ".join(f'cast("{source}" as varchar) as "{source}"' for source in contract.sources)
    typed = (
        "select cast(file_no as integer) as file_no, cast(line_no as bigint) as line_no, "
        f"cast(malformed as boolean) as malformed, {text} from {none}"
    )
    return f"create table judged as {judged_sql(contract, f'({typed})')}"


def _judge(
    engine: DuckDBEngine, file: RawFile, file_no: int, contract: SourceContract, progress: Callable[[str], None]
) -> FileReport:
    """Read one file into the table ``judged``; a refused file leaves no row there."""
    progress(f"reading {file.path.name}")
    name, fingerprint = file.path.name, file.fingerprint
    try:
        stage_raw(engine, file, contract, file_no=file_no, table="raw")
        engine.execute(f"create or replace table fresh as {judged_sql(contract, 'raw')}")
        report = _count(engine, name, fingerprint)
        _check_limits(report, contract)
    except ContractViolation as e:
        return FileReport(name, fingerprint, rejected=str(e))
    engine.execute("insert into judged by name select * from fresh")
    return report


def _count(engine: DuckDBEngine, name: str, fingerprint: str) -> FileReport:
    read, set_aside, quarantined = engine.rows(
        "select count(*), count_if(without_customer), count_if(not without_customer and broken <> '') from fresh"
    )[0]
    broken = engine.rows(
        "select rule, count(*) from (select unnest(string_split(broken, '; ')) as rule from fresh "
        "where not without_customer and broken <> '') as listed group by rule order by rule"
    )
    return FileReport(name, fingerprint, read, read - set_aside - quarantined, set_aside, quarantined, dict(broken))


def _check_limits(report: FileReport, contract: SourceContract) -> None:
    limits, read = contract.limits, report.read
    # A handful of rows is no share: ten broken ones, or a hundred visitors, are always let pass.
    if report.quarantined > max(10, limits.max_bad_share * read):
        worst = ", ".join(f"{rule}: {n:,}" for rule, n in sorted(report.broken_rules.items(), key=lambda x: -x[1]))
        raise ContractViolation(
            f"{report.quarantined:,} of {read:,} rows break the contract {contract.name!r} "
            f"(at most {limits.max_bad_share:.0%} may). Rows that break: {worst}"
        )
    if report.set_aside > max(100, limits.max_without_customer_share * read):
        raise ContractViolation(
            f"{report.set_aside:,} of {read:,} rows have no customer (at most "
            f"{limits.max_without_customer_share:.0%} may): is {contract.columns['customer_id'].source!r} the right column?"
        )


def _validate(
    engine: DuckDBEngine, contract: SourceContract, lake: Lake, progress: Callable[[str], None]
) -> dict[str, object] | None:
    """Great Expectations' view of the same rules, kept as a report. None when nothing new was read."""
    rows = engine.rows("select count(*) from judged where not without_customer")[0][0]
    if rows == 0:
        return None
    progress(f"validating {min(rows, _VALIDATED_ROWS):,} of {rows:,} rows with Great Expectations")
    # Every n-th row, so that the sample is spread over the whole of it and is the same each time.
    step = -(-rows // _VALIDATED_ROWS)
    columns = sorted({c for r in rules(contract) for c in (f"raw_{r.column}", r.column)})
    sample = (
        f"where not without_customer and not malformed and line_no % {step} = 0"
        if step > 1
        else ("where not without_customer and not malformed")
    )
    frame = engine.table(f"select {', '.join(columns)} from judged {sample}").to_pandas()
    found = validate_events(frame, rules(contract), max_bad_share=contract.limits.max_bad_share)
    write_json(lake.reports / "events_validation.json", asdict(found))
    failed = [f"{f.rule}: {f.unexpected:,} of {f.checked:,}" for f in found.failures]
    return {"success": found.success, "rows": found.rows, "rules": len(found.findings), "failed": failed}


def _write_quarantine(engine: DuckDBEngine, lake: Lake, files: list[RawFile], contract: SourceContract) -> None:
    """One file per raw file with broken rows: line, rules broken, and the columns that are taken (nothing personal)."""
    texts = ", ".join(f'raw_{n} as "{c.source}"' for n, c in contract.columns.items() if c.source is not None)
    for file_no, file in enumerate(files):
        table = engine.table(
            f"select line_no, broken, {texts} from judged where file_no = {file_no} "
            "and not without_customer and broken <> '' order by line_no"
        )
        if table.num_rows:
            name = pa.array([file.path.name] * table.num_rows, pa.string())
            stem = file.path.name.split(".")[0]
            path = lake.quarantine / f"{stem}-{file.fingerprint[:12]}.parquet"
            write_parquet(path, table.add_column(0, "file", name))


def _publish(engine: DuckDBEngine, lake: Lake, progress: Callable[[str], None]) -> tuple[int, int]:
    """Merge the accepted rows into their days' partitions. Returns new events and partitions written.

    Rows equal in every column are the same event seen again, unless one file holds several of them: then as many are
    kept as the file that has most. So overlapping deliveries add nothing, and true repetitions are not lost.
    """
    columns = ", ".join(TYPED_COLUMNS)
    engine.execute(f"create or replace view accepted as {events_sql('judged')}")
    engine.execute(
        f"create or replace table incoming as select distinct {columns}, copy, "
        f"cast(floor(cast(ts_ms as double) / {DAY_MS}) as bigint) as day "
        f"from (select *, row_number() over (partition by file_no, {columns}) as copy from accepted) as numbered"
    )
    now = int(datetime.now(UTC).timestamp() * 1000)
    days = [row[0] for row in engine.rows("select distinct day from incoming order by day")]
    new_events = written = 0
    for i, day_no in enumerate(days):
        day = date(1970, 1, 1) + timedelta(days=day_no)
        path = lake.event_partition(day)
        added = _merge(engine, path, day_no, now)
        new_events += added
        written += added > 0
        if i % 20 == 19:
            progress(f"published {i + 1} of {len(days)} days")
    return new_events, written


def _merge(engine: DuckDBEngine, path: Path, day_no: int, now_ms: int) -> int:
    columns, held = ", ".join(TYPED_COLUMNS), 0
    if path.is_file():
        engine.view("held", [path])
        held = engine.rows("select count(*) from held")[0][0]
    else:
        none = ", ".join(f"cast(null as {t}) as {c}" for c, t in EVENT_COLUMNS.items())
        engine.execute(f"create or replace view held as select * from (select {none}) as nothing where false")
    same = " and ".join(f"i.{c} is not distinct from h.{c}" for c in (*TYPED_COLUMNS, "copy"))
    table = engine.table(f"""
select {columns}, ingested_ms from held
union all
select {columns}, cast({now_ms} as bigint) as ingested_ms from incoming as i
where i.day = {day_no} and not exists (
  select 1 from (
    select *, row_number() over (partition by {columns} order by ingested_ms) as copy from held
  ) as h where {same})
order by {columns}, ingested_ms""")
    if (added := table.num_rows - held) > 0:
        write_parquet(path, table)
    return added


def _summary(files: Sequence[FileReport]) -> dict[str, object]:
    broken: dict[str, int] = {}
    for report in files:
        for rule, n in report.broken_rules.items():
            broken[rule] = broken.get(rule, 0) + n
    totals = {key: sum(getattr(f, key) for f in files) for key in ("read", "accepted", "set_aside", "quarantined")}
    if totals["read"] != totals["accepted"] + totals["set_aside"] + totals["quarantined"]:
        raise BadInput(f"rows were lost: {totals}; this is a fault of the software, please report it")
    return {
        **totals,
        "files": len(files),
        "rejected_files": {f.file: f.rejected for f in files if f.rejected is not None},
        "files_ingested_before": sum(f.ingested_before for f in files),
        "broken_rules": broken,
    }
