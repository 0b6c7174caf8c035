"""Forget: a customer leaves every place that the platform keeps them in, and a receipt says what became of each.

The id itself is written nowhere: not into the receipt, not into a log, not into an error. What stands for it is a hash
with the data home's own salt, by which ingestion knows whom no file may bring back.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from churn.errors import BadInput, ChurnError
from churn.io.contracts import contract_of, load_contract
from churn.io.erasing import Forgotten, drop_rows, raw_rows_of
from churn.io.lake import Lake, write_json
from churn.io.locks import patient_lock
from churn.io.raw import TRUTH, raw_paths
from churn.io.registry import Registry
from churn.io.retention import remove, stale_parts
from churn.io.stored_nights import StoredNights
from churn.io.suppression import Suppressions, canonical_id, known_as
from churn.settings import Settings
from churn.steps.land_demo import DEMO_TRUTH

_CUSTOMER = ("customer_id",)
_AGAIN = timedelta(days=3)
"""A step that read a customer before they were forgotten may write them back until it ends; none takes days."""
_STALE_SECONDS = 600.0
"""Half a file of a process that is gone. One in another container is not seen to live, but writes no file for long."""
_TELLING = 6
"""Characters from which on an id in the name of a raw file is told from a date or a number by chance."""
_SHIPPED = ("sparkify", "transactions")


@dataclass(frozen=True)
class Place:
    """What became of one place."""

    files: int = 0
    """Files that were written anew or removed."""
    rows: int = 0
    """Rows of the customer that were removed."""


@dataclass(frozen=True)
class ForgetReport:
    """The receipt of one erasure."""

    customer_hash: str
    """Salted: another data home has another one for the same customer."""
    asked_by: str
    began_at: str
    finished_at: str | None
    """None: it was killed, or met an error; the same command goes on."""
    interrupted_before: bool
    """An earlier attempt had begun; what it removed is not counted here."""
    places: dict[str, Place]
    landing_files: dict[str, int]
    """Raw files that still hold rows of the customer, and how many: they are the source's."""
    left: tuple[str, ...]
    """What was not touched, and why."""
    receipt: str
    sha256: str = ""
    """Of all the rest."""


def forget(
    settings: Settings,
    customer: str,
    *,
    who: str,
    landing: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> ForgetReport:
    """Erase a customer from the data home and the score book, and let no ingestion bring them back.

    ``landing``: from the raw files in the landing folder too. Killed and run again, it goes on; when nothing is left to
    remove, the receipt of the last time is the answer. Raises Unavailable where another step keeps a lock or the
    database does not answer: then again. Raises BadInput for what is no id, for another user than the data home's, and
    with ``landing`` when all is done but for raw files that cannot be read.
    """
    customer_id, home = canonical_id(customer), settings.data_home
    _refuse_others(home)
    lake, suppressed = Lake(home), Suppressions(home)
    with patient_lock(lake, "prune"):
        began = datetime.now(UTC)
        found = suppressed.hash_of(customer_id)
        earlier = _receipts(home, found)
        report = next((e for e in earlier if e.finished_at is None), None) or _begun(home, found, who, began)
        with ExitStack() as held:
            for name in ("ingest", *(["land_demo"] if landing else [])):
                held.enter_context(patient_lock(lake, name))
            unfinished = not earlier or report in earlier
            with patient_lock(lake, "promotion"):
                suppressed.add(customer_id)
                # From here on whoever looks knows that something is under way, and whoever is killed goes on.
                _write(replace(report, interrupted_before=True))
                places = _swept_files(settings, _only(customer_id), progress)
            places = _swept_book(settings, _only(customer_id), progress, places, compact=unfinished)
            raw = _raw(settings, customer_id, landing, progress)
        places |= {"landing": raw.rewritten} if landing else {}
        if landing and raw.unread:
            raise BadInput(
                f"all is done but for raw files that cannot be read: {_listed(raw.unread)}. Mend them or move them "
                "away, and run it again"
            )
        if not unfinished and not any(place.rows for place in places.values()):
            Path(report.receipt).unlink()
            return max(earlier, key=lambda e: e.began_at)
        progress("writing the receipt")
        report = replace(
            report, places=places, landing_files=raw.held, left=_left(settings, raw, landing),
            finished_at=_text(datetime.now(UTC)),
        )  # fmt: skip
        return _write(report)


def forget_again(
    settings: Settings, *, everywhere: bool = False, progress: Callable[[str], None] = lambda _: None
) -> int:
    """Rows of customers forgotten lately that a step at work at that time wrote back; they are removed.

    ``everywhere``: of all who were ever forgotten, in every file, as a restored backup may hold them. Called with the
    lock of `prune` held.
    """
    suppressed, lake, now = Suppressions(settings.data_home), Lake(settings.data_home), datetime.now(UTC)
    if not (hashes := suppressed.since()):
        return 0
    # Whoever was within their days at the last search may have been written back since, however long ago that was.
    last = suppressed.swept_at()
    begin = None if everywhere or last is None else min(last, now) - _AGAIN
    lately = [at for at in hashes.values() if begin is None or at > begin]
    if not lately and not suppressed.sweeping:
        suppressed.end_sweep(now)
        return 0
    since = 0.0 if everywhere or not lately else min(min(lately).timestamp(), time.time()) - 3600
    with patient_lock(lake, "ingest"):
        interrupted = suppressed.sweeping
        suppressed.begin_sweep()
        with patient_lock(lake, "promotion"):
            places = _swept_files(settings, suppressed.among, progress, since=since)
        places = _swept_book(settings, suppressed.among, progress, places, compact=interrupted)
        suppressed.end_sweep(now)
    return sum(place.rows for place in places.values())


def text_of(report: ForgetReport) -> str:
    """The receipt for people."""
    lines = [f"forgotten: {report.customer_hash} (salted hash), asked by {report.asked_by}, {report.finished_at}"]
    width = max(map(len, report.places), default=0)
    for name, place in report.places.items():
        lines.append(f"  {name:<{width}}  {place.rows:>9,} rows in {place.files:,} files")
    for name, rows in report.landing_files.items():
        lines.append(f"  still in the raw file {name}: {rows:,} rows")
    lines += [f"left: {why}" for why in report.left]
    return "\n".join([*lines, f"receipt {report.receipt}, sha256 {report.sha256}"])


def _only(customer_id: str) -> Forgotten:
    return lambda ids: {text for text in ids if known_as(text) == customer_id}


def _refuse_others(home: Path) -> None:
    """Another user's list of the forgotten could not be read by ingestion, nor theirs by this one."""
    for folder in (home / "suppressed", home / "erasures", home / "events"):
        if folder.is_dir() and (owner := folder.stat().st_uid) != os.geteuid():
            raise BadInput(
                f"{folder} is user {owner}'s, and ingestion could not read what user {os.geteuid()} writes there: run "
                "it as the user that ingests, in containers `docker compose exec airflow-scheduler churn forget …`"
            )


def _swept_files(
    settings: Settings, forgotten: Forgotten, progress: Callable[[str], None], *, since: float = 0.0
) -> dict[str, Place]:
    """Files of the data home, and of the replays in it. ``since``: those changed before that are left out."""
    places: dict[str, Place] = {}
    for own in (settings, *_replays(settings)):
        for name, place in _files(own, forgotten, progress, since).items():
            before = places.get(name, Place())
            places[name] = Place(before.files + place.files, before.rows + place.rows)
    return places


def _swept_book(
    settings: Settings,
    forgotten: Forgotten,
    progress: Callable[[str], None],
    swept: dict[str, Place],
    *,
    compact: bool,
) -> dict[str, Place]:
    """The score book and those of the replays, and then half-written files; ``swept`` and what became of these."""
    places = dict(swept)
    for own in (settings, *_replays(settings)):
        with closing(StoredNights(own.score_database)) as book:
            gone = list(forgotten(book.customers()))
            removed = book.drop(gone) if gone else {}
            if compact or removed:
                book.compact(progress)
            for name in ("scores", "shadow_scores", "reasons"):
                before = places.get(name, Place())
                places[name] = replace(before, rows=before.rows + removed.get(name, 0))
    stale = list(stale_parts(settings.data_home, settings.landing_dir, older_than=_STALE_SECONDS))
    for part in stale:
        remove(part)
    return places | {"half-written": Place(files=len(stale))}


def _files(settings: Settings, forgotten: Forgotten, progress: Callable[[str], None], since: float) -> dict[str, Place]:
    home, raw = settings.data_home, _raw_columns(settings)
    patterns: tuple[tuple[str, str, Iterable[str]], ...] = (
        ("events", "date=*/events.parquet", _CUSTOMER),
        ("quarantine", "*.parquet", raw),
        ("features", "as_of=*/features.parquet", _CUSTOMER),
        ("features_known_then", "as_of=*/features.parquet", _CUSTOMER),
        ("panels", "as_of=*/panel.parquet", _CUSTOMER),
    )
    places = {}
    for name, pattern, columns in patterns:
        files = rows = 0
        if not (home / name).is_symlink():  # a replay's events are those of the data home, and done with them
            progress(f"looking through {name}")
            for path in sorted((home / name).glob(pattern)):
                removed = drop_rows(path, tuple(columns), forgotten) if path.stat().st_mtime >= since else 0
                files, rows = files + (removed > 0), rows + removed
        places[name] = Place(files, rows)
    return places


def _replays(settings: Settings) -> Iterator[Settings]:
    """Past nights lived again, each in a home of its own."""
    for record in sorted((settings.data_home / "replays").glob("*/replay.json")):
        yield settings.model_copy(update={"home": record.parent, "database_url": None, "mlflow_tracking_uri": None})


def _raw_columns(settings: Settings) -> tuple[str, ...]:
    """Where a customer stands in a raw log, by this contract or one that was used before it."""
    contracts = (contract_of(settings), *map(load_contract, _SHIPPED))
    return tuple(dict.fromkeys(s for c in contracts if (s := c.columns["customer_id"].source) is not None))


@dataclass(frozen=True)
class _Raw:
    """What became of the raw files."""

    held: dict[str, int]
    """Those that hold the customer still, and how many rows."""
    rewritten: Place
    unread: dict[str, str]
    """Those that cannot be read, and why."""


def _raw(settings: Settings, customer_id: str, remove_them: bool, progress: Callable[[str], None]) -> _Raw:
    folder, columns = settings.landing_dir, (*_raw_columns(settings), *_CUSTOMER)
    held, unread, files, rows = dict[str, int](), dict[str, str](), 0, 0
    found = sorted({*(raw_paths([folder]) if folder.is_dir() else ()), *folder.glob(TRUTH)})
    truth = settings.data_home / DEMO_TRUTH
    for number, path in enumerate([*found, *([truth] if truth.is_file() else [])]):
        if number % 20 == 0:
            progress(f"looking through the raw files ({number + 1} of {len(found)})")
        name = str(path).replace(customer_id, "<id>") if len(customer_id) >= _TELLING else str(path)
        try:
            count = raw_rows_of(path, columns, customer_id, remove=remove_them)
        except (BadInput, pa.ArrowException) as e:  # what libraries say of a file may quote it
            unread[name] = str(e) if isinstance(e, BadInput) else f"it is no whole parquet file ({type(e).__name__})"
            continue
        except OSError as e:
            unread[name] = e.strerror or type(e).__name__
            continue
        if count and not remove_them:
            held[name] = held.get(name, 0) + count
        files, rows = (files + 1, rows + count) if count and remove_them else (files, rows)
    return _Raw(held, Place(files, rows), unread)


def _listed(unread: dict[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in unread.items())


def _left(settings: Settings, raw: _Raw, landing: bool) -> tuple[str, ...]:
    """What nobody should believe was erased."""
    found = []
    if raw.held:
        found.append("the raw files listed: they are the source's; --landing writes them anew without the customer")
    if raw.unread:
        found.append(f"raw files that could not be read, and may hold the customer: {_listed(raw.unread)}")
    found += [
        f"raw files outside {settings.landing_dir}, and replays outside {settings.data_home / 'replays'} (--into): the "
        "platform does not know where they are",
        "names of raw files, in events/_receipts, reports and quarantine: an id that a source writes into a name stays",
    ]
    if not landing or (settings.data_home / DEMO_TRUTH).is_file():
        found.append("what the source delivers from now on: ingestion sets it aside, the file itself stays as it came")
    try:
        versions = Registry(settings).versions()
        names = ", ".join(f"{v.version} ({v.stage})" for v in versions if v.stage in ("Production", "Staging"))
        found.append(
            f"{len(versions)} model versions trained until now, in use: {names or 'none'}. They hold weights, counts, "
            "sorted columns of figures, and five rows of features as an example of their input, none with an id; the "
            "next training is without the customer. A version at Staging whose panel changed must be trained again"
        )
    except ChurnError as e:
        found.append(f"models, of which the registry did not tell ({type(e).__name__}): they hold no ids")
    found += [
        "the log of predictions: it holds figures and no ids, so that nobody can tell whose they are",
        "reports, checks and publications: counts and averages over customers; the ledger: decisions about models",
        "backups and copies made elsewhere, logs of proxies and other systems before the API (their paths hold ids), "
        "and blocks that the file system has freed but not overwritten: they go when they are rotated or written over",
    ]
    if not settings.score_database.startswith("sqlite"):
        found.append("the write-ahead log and the archives of the PostgreSQL server, until it recycles them")
    return tuple(found)


def _begun(home: Path, customer_hash: str, who: str, began: datetime) -> ForgetReport:
    folder, name = home / "erasures", f"{began:%Y-%m-%d}-{customer_hash[:16]}"
    path, number = folder / f"{name}.json", 1
    while path.is_file():
        path, number = folder / f"{name}-{number + 1}.json", number + 1
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return ForgetReport(customer_hash, who, _text(began), None, False, {}, {}, (), str(path))


def _receipts(home: Path, customer_hash: str) -> list[ForgetReport]:
    found = []
    for path in sorted((home / "erasures").glob(f"*-{customer_hash[:16]}*.json")):
        values: dict[str, Any] = json.loads(path.read_text())
        places = {name: Place(**place) for name, place in values["places"].items()}
        report = ForgetReport(**{**values, "places": places, "left": tuple(values["left"])})
        if report.customer_hash == customer_hash:
            found.append(report)
    return found


def _write(report: ForgetReport) -> ForgetReport:
    facts = {name: value for name, value in asdict(report).items() if name != "sha256"}
    sealed = replace(report, sha256=hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest())
    write_json(Path(report.receipt), asdict(sealed))
    Path(report.receipt).chmod(0o600)
    return sealed


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
