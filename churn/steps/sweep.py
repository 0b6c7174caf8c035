"""Sweep: rows of forgotten customers leave the files and the score book, at night too, should they have come back."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from churn.io.contracts import contract_of, load_contract
from churn.io.engines.spill import remove_dead
from churn.io.erasing import Forgotten, drop_copy, drop_rows
from churn.io.erasure_receipts import Place
from churn.io.lake import Lake
from churn.io.locks import patient_lock
from churn.io.retention import remove, stale_parts
from churn.io.session_days import SESSION_DAYS
from churn.io.stored_nights import StoredNights
from churn.io.suppression import Suppressions
from churn.io.totals import TOTALS
from churn.settings import Settings

CUSTOMER = ("customer_id",)
"""Where a customer stands in files of the platform's own."""
_COPIES = ("session_days", "totals")
"""Whose names say what they were made of: without some of the rows, they would be something else."""
_AGAIN = timedelta(days=3)
"""A step that read a customer before they were forgotten may write them back until it ends; none takes days."""
_STALE_SECONDS = 600.0
"""Half a file of a process that is gone. One in another container is not seen to live, but writes no file for long."""
_SHIPPED = ("sparkify", "transactions")


def forget_again(
    settings: Settings, *, everywhere: bool = False, progress: Callable[[str], None] = lambda _: None
) -> int:
    """Rows of customers forgotten lately that a step at work at that time wrote back; they are removed.

    ``everywhere``: of all who were ever forgotten, in every file, as a restored backup may hold them. So it is, too,
    after a search that did not come to its end. Called with the lock of `prune` held.
    """
    suppressed, lake, now = Suppressions(settings.data_home), Lake(settings.data_home), datetime.now(UTC)
    if not (hashes := suppressed.since()):
        return 0
    interrupted = suppressed.sweeping
    # Whoever was within their days at the last search may have been written back since, however long ago that was.
    last = suppressed.swept_at()
    begin = None if everywhere or last is None else min(last, now) - _AGAIN
    lately = [at for at in hashes.values() if begin is None or at > begin]
    if not lately and not interrupted:
        suppressed.end_sweep(now)
        return 0
    since = 0.0 if everywhere or interrupted else min(min(lately).timestamp(), time.time()) - 3600
    with patient_lock(lake, "ingest"):
        suppressed.begin_sweep()
        with patient_lock(lake, "promotion"):
            places = swept_files(settings, suppressed.among, progress, since=since)
        places = swept_book(settings, suppressed.among, progress, places, compact=interrupted)
        suppressed.end_sweep(now)
    return sum(place.rows for place in places.values())


def swept_files(
    settings: Settings, forgotten: Forgotten, progress: Callable[[str], None], *, since: float = 0.0
) -> dict[str, Place]:
    """Files of the data home, and of the replays in it. ``since``: those changed before that are left out."""
    places: dict[str, Place] = {}
    for own in (settings, *_replays(settings)):
        shutil.rmtree(Lake(own.data_home).ingesting, ignore_errors=True)  # a killed ingestion's; none is at work now
        remove_dead(own.data_home)  # what killed engines spilled
        for name, place in _files(own, forgotten, progress, since).items():
            before = places.get(name, Place())
            places[name] = Place(before.files + place.files, before.rows + place.rows)
    return places


def swept_book(
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


def raw_columns(settings: Settings) -> tuple[str, ...]:
    """Where a customer stands in a raw log, by this contract or one that was used before it."""
    contracts = (contract_of(settings), *map(load_contract, _SHIPPED))
    return tuple(dict.fromkeys(s for c in contracts if (s := c.columns["customer_id"].source) is not None))


def _files(settings: Settings, forgotten: Forgotten, progress: Callable[[str], None], since: float) -> dict[str, Place]:
    home = settings.data_home
    patterns = (
        ("events", "events", "date=*/events.parquet", CUSTOMER),
        ("session_days", "events", f"{SESSION_DAYS}/date=*/*.parquet", CUSTOMER),
        ("totals", "events", f"{TOTALS}/as_of=*/*.parquet", CUSTOMER),
        ("quarantine", "quarantine", "*.parquet", raw_columns(settings)),
        ("features", "features", "as_of=*/features.parquet", CUSTOMER),
        ("score_shards", "features", "as_of=*/shards/*/*.parquet", CUSTOMER),
        ("features_known_then", "features_known_then", "as_of=*/features.parquet", CUSTOMER),
        ("panels", "panels", "as_of=*/panel.parquet", CUSTOMER),
    )
    places = {}
    for name, folder, pattern, columns in patterns:
        files = rows = 0
        if not (home / folder).is_symlink():  # a replay's events are those of the data home, and done with them
            progress(f"looking through {name}")
            for path in sorted((home / folder).glob(pattern)):
                drop = drop_copy if name in _COPIES else drop_rows
                removed = drop(path, columns, forgotten) if path.stat().st_mtime >= since else 0
                files, rows = files + (removed > 0), rows + removed
        places[name] = Place(files, rows)
    return places


def _replays(settings: Settings) -> Iterator[Settings]:
    """Past nights lived again, each in a home of its own."""
    for record in sorted((settings.data_home / "replays").glob("*/replay.json")):
        yield settings.model_copy(update={"home": record.parent, "database_url": None, "mlflow_tracking_uri": None})
