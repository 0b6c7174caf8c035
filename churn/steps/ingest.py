"""Ingest: raw log files become canonical daily partitions; what breaks the contract is kept apart and counted."""

import hashlib
import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from churn.core.canonical import rules
from churn.core.events import SourceContract
from churn.errors import ContractViolation, NotReady, Unavailable
from churn.io.contracts import contract_of
from churn.io.engines.chosen import engine_of
from churn.io.engines.duckdb import open_engine
from churn.io.intake import FileReport, Intake
from churn.io.kept_reports import KeptReports, with_ingestion
from churn.io.lake import Lake, write_json
from churn.io.raw import RawFile, find_raw_files
from churn.io.suppression import Suppressions
from churn.io.validation import Validation, validate_events
from churn.settings import Settings
from churn.steps.land_demo import refuse_mixture

# Great Expectations reads at most this many rows of one ingestion, evenly of its files; the SQL rules read every row.
# Some 150 MB, and a share of broken rows is known to a twentieth of a percent.
_VALIDATED_ROWS = 200_000
_LOG = logging.getLogger("churn.ingest")


@dataclass(frozen=True)
class IngestReport:
    """What an ingestion came to: read = accepted + set_aside + quarantined. Refused files count in none of these."""

    read: int
    accepted: int
    set_aside: int
    """Rows without a customer, and those of customers who were forgotten (`churn forget`)."""
    quarantined: int
    """Rows that broke a rule; ``broken_rules`` says which, and one row may break several."""
    broken_rules: dict[str, int]
    new_events: int
    """Accepted rows that the lake did not hold before."""
    files: int
    ingested_before: int
    """Files whose very bytes were ingested before; they change nothing."""
    rejected_files: dict[str, str]
    partitions_written: int
    first_day: str | None
    last_day: str | None
    validation: str
    seconds: float


def ingest(
    settings: Settings, paths: Sequence[Path] = (), *, progress: Callable[[str], None] = lambda _: None
) -> IngestReport:
    """Ingest files and folders (default: the landing folder).

    A file that breaks a file-level rule is refused whole and named in the report; the others are ingested. Killed
    and run again, the lake ends as if undisturbed. Raises NotReady when there is no raw file.
    """
    started = time.monotonic()
    contract, lake = contract_of(settings), Lake(settings.data_home)
    files = _found(settings, paths)
    refuse_mixture(settings, [f.path for f in files])
    with lake.lock("ingest"), _aside(lake) as folder:
        known = {f.fingerprint: report for f in files if (report := _receipt(lake, f)) is not None}
        fresh = list({f.fingerprint: f for f in files if f.fingerprint not in known}.values())
        reports, found, new_by_day = _taken(settings, contract, lake, fresh, folder, progress)
        every = known | {r.fingerprint: r for r in reports}
        outcome = _report([replace(every[f.fingerprint], file=str(f.path)) for f in files], new_by_day, found, lake)
        outcome = replace(outcome, seconds=round(time.monotonic() - started, 2))
        path = lake.reports / "ingest.json"
        if fresh or not path.is_file():  # the same files again leave even the report as it is
            write_json(path, asdict(outcome))
        if reports:
            _remember(lake, reports, found)
        # Last of all: a receipt says that every row of its file is in the lake, and in the report.
        for report in reports:
            if report.rejected is None:
                write_json(lake.receipt(report.fingerprint), asdict(report))
    return outcome


def _taken(
    settings: Settings,
    contract: SourceContract,
    lake: Lake,
    files: Sequence[RawFile],
    folder: Path,
    progress: Callable[[str], None],
) -> tuple[list[FileReport], Validation | None, list[int]]:
    """Report of each file, what Great Expectations found, and the new events of each day that was merged."""
    if not files:
        return [], None, []
    forgotten, sampled = Suppressions(settings.data_home).among, max(1, _VALIDATED_ROWS // len(files))
    opened = open_engine(megabytes=settings.engine_megabytes, home=settings.data_home)
    with engine_of(settings)({}) as engine, opened as reader:
        intake, reports = Intake(engine, reader, contract, lake, folder, forgotten=forgotten, sampled=sampled), []
        for number, file in enumerate(files):
            progress(f"reading {file.path.name} ({number + 1} of {len(files)})")
            reports.append(intake.read(file, number))
        found = _validate(intake, contract, lake, progress) if any(r.read for r in reports) else None
        return reports, found, _publish(intake, progress)


@contextmanager
def _aside(lake: Lake) -> Iterator[Path]:
    """A folder for what lies between the files and the lake. The caller holds the lock, so what is there is left over.

    In the data home, which is what the nodes of a cluster share.
    """
    folder = lake.ingesting
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def ingest_or_refuse(
    settings: Settings, paths: Sequence[Path] = (), *, progress: Callable[[str], None] = lambda _: None
) -> IngestReport:
    """Ingest, then raise ContractViolation if a file was refused; the others are in the lake by then."""
    report = ingest(settings, paths, progress=progress)
    refuse_rejected(report)
    return report


def refuse_rejected(report: IngestReport) -> None:
    """Raise ContractViolation naming every refused file, if there is one."""
    if report.rejected_files:
        listed = "\n".join(f"- {why}" for why in report.rejected_files.values())
        raise ContractViolation(
            f"{len(report.rejected_files)} of {report.files} files were refused whole; nothing of them was taken:\n"
            f"{listed}\nMend them, or move them out of the folder, and ingest again."
        )


def _found(settings: Settings, paths: Sequence[Path]) -> list[RawFile]:
    """The files to ingest: none only where the landing folder is empty and events came in another way before."""
    landing = [settings.landing_dir] if settings.landing_dir.is_dir() else []
    files = find_raw_files(paths or landing)
    if not files and (paths or not Lake(settings.data_home).event_days()):
        where = ", ".join(map(str, paths or (settings.landing_dir,)))
        raise NotReady(f"no raw log in {where}: expected .json, .jsonl, .csv (also .gz) or .parquet files")
    return files


def _receipt(lake: Lake, file: RawFile) -> FileReport | None:
    path = lake.receipt(file.fingerprint)
    return replace(FileReport(**json.loads(path.read_text())), ingested_before=True) if path.is_file() else None


def _validate(intake: Intake, contract: SourceContract, lake: Lake, progress: Callable[[str], None]) -> Validation:
    """Great Expectations' view of the same rules on the same rows, kept as a report."""
    progress("validating with Great Expectations")
    found = validate_events(intake.sample, rules(contract), max_bad_share=contract.limits.max_bad_share)
    write_json(lake.reports / "events_validation.json", asdict(found))
    return found


def _remember(lake: Lake, reports: Sequence[FileReport], found: Validation | None) -> None:
    """Put what came in beside the other ingestions of the day (UTC). The caller holds the lock."""
    now = datetime.now(UTC)
    broken = sum((Counter(r.broken_rules) for r in reports), Counter[str]())
    ingestion = {
        "key": hashlib.sha256("".join(sorted(r.fingerprint for r in reports)).encode()).hexdigest(),
        "at": now.isoformat(timespec="seconds"),
        "files": len(reports),
        **{name: sum(getattr(r, name) for r in reports) for name in ("read", "accepted", "set_aside", "quarantined")},
        "broken_rules": dict(broken),
        "rejected": [r.rejected for r in reports if r.rejected is not None],
        "validation": asdict(found) if found else None,
    }
    kept = KeptReports.of(lake.home)
    try:
        every = with_ingestion(kept.ingestions(now.date()), ingestion)
    except (ContractViolation, Unavailable, LookupError, TypeError) as e:
        # Damaged by hand; no ingestion may fail for the sake of what is only shown.
        _LOG.warning("what came in before on %s is not shown any more: %s: %s", now.date(), type(e).__name__, e)
        every = with_ingestion([], ingestion)
    write_json(kept.ingestions_path(now.date()), {"ingestions": every})


def _publish(intake: Intake, progress: Callable[[str], None]) -> list[int]:
    """New events of each day that has accepted rows."""
    now_ms, days, new = int(datetime.now(UTC).timestamp() * 1000), intake.days, []
    for number, day in enumerate(days):
        new.append(intake.publish(day, now_ms))
        if number % 20 == 19:
            progress(f"published {number + 1} of {len(days)} days")
    return new


def _report(files: Sequence[FileReport], new: Sequence[int], found: Validation | None, lake: Lake) -> IngestReport:
    broken: dict[str, int] = {}
    for report in files:
        for rule, n in report.broken_rules.items():
            broken[rule] = broken.get(rule, 0) + n
    days = lake.event_days()
    kept = (
        "nothing new to validate"
        if found is None
        else (f"{found.met} of {len(found.findings)} expectations met on {found.rows:,} rows")
    )
    return IngestReport(
        read=sum(f.read for f in files),
        accepted=sum(f.accepted for f in files),
        set_aside=sum(f.set_aside for f in files),
        quarantined=sum(f.quarantined for f in files),
        broken_rules=broken,
        new_events=sum(new),
        files=len(files),
        ingested_before=sum(f.ingested_before for f in files),
        rejected_files={f.file: f.rejected for f in files if f.rejected is not None},
        partitions_written=sum(n > 0 for n in new),
        first_day=str(days[0]) if days else None,
        last_day=str(days[-1]) if days else None,
        validation=kept,
        seconds=0.0,
    )
