"""Forget: a customer leaves every place that the platform keeps them in, and a receipt says what became of each.

The id itself is written nowhere: not into the receipt, not into a log, not into an error. What stands for it is a hash
with the data home's own salt, by which ingestion knows whom no file may bring back.
"""

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from churn.errors import BadInput, ChurnError
from churn.io.erasing import Forgotten, raw_rows_of
from churn.io.erasure_receipts import Place, Receipt, begun, receipts, time_text, written
from churn.io.lake import Lake
from churn.io.locks import patient_lock
from churn.io.raw import TRUTH, raw_paths
from churn.io.registry import Registry
from churn.io.suppression import Suppressions, canonical_id, known_as
from churn.settings import Settings
from churn.steps.land_demo import DEMO_TRUTH
from churn.steps.sweep import CUSTOMER, raw_columns, swept_book, swept_files

_TELLING = 6
"""Characters from which on an id in the name of a raw file is told from a date or a number by chance."""


def forget(
    settings: Settings,
    customer: str,
    *,
    who: str,
    landing: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Receipt:
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
        found = suppressed.hash_of(customer_id)
        earlier = receipts(home, found)
        unfinished = next((e for e in earlier if e.finished_at is None), None)
        receipt = unfinished or begun(home, found, who, datetime.now(UTC))
        again = bool(earlier) and unfinished is None
        with patient_lock(lake, "ingest"), patient_lock(lake, "land_demo") if landing else nullcontext():
            with patient_lock(lake, "promotion"):
                suppressed.add(customer_id)
                # From here on whoever looks knows that something is under way, and whoever is killed goes on.
                written(replace(receipt, interrupted_before=True))
                places = swept_files(settings, _only(customer_id), progress)
            places = swept_book(settings, _only(customer_id), progress, places, compact=not again)
            raw = _raw(settings, customer_id, landing, progress)
        if landing:
            places["landing"] = raw.rewritten
            _refuse_unread(raw)
        if again and not any(place.rows for place in places.values()):
            Path(receipt.receipt).unlink()
            return max(earlier, key=lambda e: e.began_at)
        progress("writing the receipt")
        left, finished_at = _left(settings, raw, landing), time_text(datetime.now(UTC))
        return written(replace(receipt, places=places, landing_files=raw.held, left=left, finished_at=finished_at))


def text_of(receipt: Receipt) -> str:
    """For people."""
    lines = [f"forgotten: {receipt.customer_hash} (salted hash), asked by {receipt.asked_by}, {receipt.finished_at}"]
    width = max(map(len, receipt.places), default=0)
    for name, place in receipt.places.items():
        lines.append(f"  {name:<{width}}  {place.rows:>9,} rows in {place.files:,} files")
    for name, rows in receipt.landing_files.items():
        lines.append(f"  still in the raw file {name}: {rows:,} rows")
    lines += [f"left: {why}" for why in receipt.left]
    return "\n".join([*lines, f"receipt {receipt.receipt}, sha256 {receipt.sha256}"])


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


@dataclass(frozen=True)
class _Raw:
    """What became of the raw files."""

    held: dict[str, int]
    """Those that hold the customer still, and how many rows."""
    rewritten: Place
    unread: dict[str, str]
    """Those that cannot be read, and why."""


def _raw(settings: Settings, customer_id: str, remove_them: bool, progress: Callable[[str], None]) -> _Raw:
    folder, columns = settings.landing_dir, (*raw_columns(settings), *CUSTOMER)
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


def _refuse_unread(raw: _Raw) -> None:
    if raw.unread:
        raise BadInput(
            f"all is done but for raw files that cannot be read: {_listed(raw.unread)}. Mend them or move them "
            "away, and run it again"
        )


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
