"""Prune: what is older than it is kept for leaves every place that grows, and whoever was forgotten stays so."""

import re
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from churn.core.features import LOOK_BACKS
from churn.errors import Unavailable
from churn.io import retention
from churn.io.contracts import contract_of
from churn.io.lake import Lake
from churn.io.ledger import Ledger
from churn.io.locks import patient_lock
from churn.io.registry import ModelVersion, Registry
from churn.io.retention import Old
from churn.io.session_days import SESSION_DAYS
from churn.io.stored_nights import StoredNights, total
from churn.io.totals import TOTALS
from churn.settings import Settings
from churn.steps.published_nights import LOOKED_BACK
from churn.steps.sweep import forget_again

_WEEK = 7
_STEADY, _LATE = 3, timedelta(days=14)
"""Days of work that make a clock believed; how far they may lie back before that is said."""
_LIVELY = ("events", "features", "panels", "quarantine", "reports", "predictions", "logs")
"""Where a platform that is at work writes."""


@dataclass(frozen=True)
class Pruned:
    """One place."""

    kept_days: int | None
    """None: no number of days decides."""
    items: int
    """Files; rows where the place is a table."""
    bytes: int
    """About, where it is a table."""
    listed: tuple[str, ...] = ()
    """What would go, and its bytes; of a dry run only."""


@dataclass(frozen=True)
class PruneReport:
    """What was removed, or would be, by place. Places from which nothing went are among them."""

    today: str
    dry_run: bool
    places: dict[str, Pruned]
    items: int
    bytes: int
    forgotten_again: int
    """Rows of forgotten customers that a step at work meanwhile had written back."""
    left: tuple[str, ...]
    """What was left for another time, and why."""


@dataclass(frozen=True)
class _Needed:
    """What nobody may remove, whatever the settings say."""

    watched_since: date
    """Nights whose scores and features the monitor still reads."""
    trained_since: date
    """Events that a training as of today needs."""
    cut_offs: frozenset[date]
    """Whose panels and features belong to versions at Production and Staging."""


def prune(
    settings: Settings,
    today: date,
    *,
    dry_run: bool = False,
    restored: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> PruneReport:
    """Remove what is past its time as of ``today``. Killed and run again, it goes on; twice, it removes nothing more.

    ``restored``: a backup was brought back, and who was forgotten since it was made is looked for in every file.
    Landing files, the ledger, checks, erasure receipts and models are not touched. Raises Unavailable where another
    step keeps a lock, or a database does not answer; what was removed until then stays removed.
    """
    run, lake = _Run(settings, today, dry_run, progress), Lake(settings.data_home)
    with patient_lock(lake, "prune"):
        again = 0 if dry_run else forget_again(settings, everywhere=restored, progress=progress)
        run.files_by_the_clock()
        run.logs()
        run.look_for_the_newest_night()
        run.reports()
        with ExitStack() as held:
            if not dry_run:  # no version moves meanwhile: what it waits with must not go while it begins to wait
                held.enter_context(patient_lock(lake, "promotion"))
            needed = run.needed()
            run.files_of_models(needed)
        with ExitStack() as held:
            if not dry_run:
                held.enter_context(patient_lock(lake, "ingest"))
            run.files_of_the_log(needed)
        run.score_book(needed)
    places = run.places
    return PruneReport(
        today=str(today), dry_run=dry_run, places=places,
        items=sum(p.items for p in places.values()), bytes=sum(p.bytes for p in places.values()),
        forgotten_again=again, left=tuple(run.left),
    )  # fmt: skip


def text_of(report: PruneReport) -> str:
    """A line for each place, and of a dry run one for each thing below it."""
    lines = []
    for name, place in report.places.items():
        kept = "" if place.kept_days is None else f"  (kept for {place.kept_days} days)"
        lines.append(f"{name:<12} {place.items:>9,}  {place.bytes / 1e6:>10,.1f} MB{kept}")
        lines += [f"  {line}" for line in place.listed]
    if report.forgotten_again:
        lines.append(f"{report.forgotten_again:,} rows of forgotten customers had come back, and are gone again")
    verb = "would go" if report.dry_run else "went"
    lines += [f"left: {why}" for why in report.left]
    return "\n".join([*lines, f"{report.items:,} files and rows past their time {verb}, {report.bytes / 1e6:,.1f} MB"])


class _Run:
    """One run: what it works on, and what it has come to."""

    def __init__(self, settings: Settings, today: date, dry_run: bool, progress: Callable[[str], None]) -> None:
        self._settings, self._today, self._dry_run, self._progress = settings, today, dry_run, progress
        self._lake = Lake(settings.data_home)
        self._tasks = (settings.airflow_logs or settings.data_home / "airflow" / "logs").expanduser().absolute()
        self.places: dict[str, Pruned] = {}
        self.left: list[str] = []
        self._clock = self._night = self._at_work()

    def look_for_the_newest_night(self) -> None:
        """Where the platform stood still, or lives on an old log, its nights end where it stopped."""
        with closing(StoredNights(self._settings.score_database)) as nights:
            newest = nights.newest()
        days = self._lake.event_days()
        ends = [*([newest] if newest else []), *([days[-1] + timedelta(days=1)] if days else [])]
        self._night = min(self._today, *ends) if ends else self._clock

    def needed(self) -> _Needed | None:
        """None where the registry does not answer, or not as the ledger: then nothing goes that a model may need."""
        kept = "features, panels, scores and events, because the registry"
        try:
            versions = [v for v in Registry(self._settings).versions() if v.stage in ("Production", "Staging")]
        except Unavailable as e:
            self.left.append(f"{kept} did not answer: {e}")
            return None
        with closing(Ledger(self._settings.score_database)) as ledger:
            decided = ledger.production()
        number = decided.to_version if decided else None
        if number is not None and not any(v.version == number and v.stage == "Production" for v in versions):
            self.left.append(f"{kept} does not have version {number} in production, which the ledger has there")
            return None
        horizon = max([contract_of(self._settings).horizon_days, *map(_horizon, versions)])
        now = self._night
        snapshots = timedelta(days=2 * horizon + _WEEK * (self._settings.panel_snapshots + 1))
        return _Needed(
            watched_since=now - timedelta(days=horizon + LOOKED_BACK),
            trained_since=now - snapshots - timedelta(days=LOOKED_BACK),
            cut_offs=frozenset(day for version in versions for day in _dates(version)),
        )

    def files_of_the_log(self, needed: _Needed | None) -> None:
        """The caller sees to it that nothing is ingested meanwhile."""
        settings, lake, events = self._settings, self._lake, list[Old]()
        if (days := settings.keep_events_days) is not None and needed:
            before = min(self._nights_since(days), needed.trained_since)
            places = (lake.events, lake.events / SESSION_DAYS)
            events = [old for place in places for old in retention.dated_folders(place, before)]
        self._files("events", days, events)
        spare = self._night - timedelta(days=max(LOOK_BACKS) + _WEEK)
        self._files("totals", None, retention.dated_folders(lake.events / TOTALS, spare))
        copies = [old for name in (SESSION_DAYS, TOTALS) for old in retention.superseded(lake.events / name)]
        self._files("superseded", None, copies)
        days = settings.keep_quarantine_days
        self._files("quarantine", days, retention.files_before(lake.quarantine, "*.parquet", self._since_s(days)))

    def files_of_models(self, needed: _Needed | None) -> None:
        """The caller sees to it that no version moves meanwhile."""
        settings, home = self._settings, self._lake.home
        for name, days in (
            ("features", settings.keep_features_days),
            ("features_known_then", settings.keep_features_days),
            ("panels", settings.keep_panels_days),
        ):
            if needed is not None:
                since = self._nights_since(days)
                before = min(since, needed.watched_since) if name == "features" else since
                self._files(name, days, retention.dated_folders(home / name, before, needed.cut_offs))

    def files_by_the_clock(self) -> None:
        home, days = self._lake.home, self._settings.keep_predictions_days
        before = self._clock - timedelta(days=days)
        self._files("predictions", days, retention.dated_folders(home / "predictions", before))
        self._files("half-written", None, retention.stale_parts(home, self._settings.landing_dir))

    def reports(self) -> None:
        days = self._settings.keep_reports_days
        self._files("reports", days, retention.reports(self._lake.reports, self._nights_since(days)))

    def logs(self) -> None:
        settings = self._settings
        days, most = settings.keep_logs_days, int(settings.keep_log_megabytes * 1e6)
        before = self._since_s(days)
        self._files("logs", days, retention.service_logs(self._lake.home / "logs", before, most))
        tasks = retention.folders_of_tasks(self._tasks)
        times = {path: at for folder in tasks for path, at in retention.folder_times(folder).items()}
        found = [old for folder in tasks for old in retention.files_before(folder, "**/*", before)]
        found += retention.parsing_logs(self._tasks, self._clock - timedelta(days=days))
        self._files("airflow_logs", days, found)
        if not self._dry_run:
            retention.remove_empty_folders(before, times)

    def score_book(self, needed: _Needed | None) -> None:
        """A night at a time: who publishes or reads waits for no more than that."""
        if needed is None:
            return
        settings = self._settings
        with closing(StoredNights(settings.score_database)) as book:
            newest = book.newest() or self._night
            for place, days, until in (
                ("reasons", min(settings.keep_reasons_days, settings.keep_scores_days), newest),  # of what there is
                ("scores", settings.keep_scores_days, needed.watched_since),
            ):
                nights = book.before(place, min(self._nights_since(days), until))
                for night in () if self._dry_run else nights:
                    self._progress(f"{place} as of {night.as_of}")
                    book.remove(place, night.as_of)
                listed = [f"{n.as_of}: {n.rows:,} rows, {n.bytes:,} bytes" for n in nights]
                self._note(place, days, total(nights), listed)

    def _files(self, place: str, days: int | None, olds: Iterable[Old]) -> None:
        found = list(olds)
        gone = []
        for old in found:
            try:
                if not self._dry_run:
                    retention.remove(old)
                gone.append(old)
            except OSError as e:  # one file that cannot be removed must not keep the disk from being cleared
                self.left.append(f"{self._named(old.path)} could not be removed: {e.strerror}")
        self._note(place, days, retention.total(gone), [f"{self._named(o.path)}: {o.bytes:,} bytes" for o in gone])

    def _note(self, place: str, days: int | None, found: tuple[int, int], listed: list[str]) -> None:
        self.places[place] = Pruned(days, *found, listed=tuple(listed) if self._dry_run else ())

    def _named(self, path: Path) -> str:
        home = self._lake.home
        return str(path.relative_to(home) if path.is_relative_to(home) else path)

    def _at_work(self) -> date:
        """What is dated by the clock counts from the third last day on which the platform wrote anything.

        So a clock that jumps ahead has to be right for three days before it removes anything, and a platform that stood
        still counts from today again after three days, however long it stood.
        """
        home = self._lake.home
        folders = [home / name for name in _LIVELY] + retention.folders_of_tasks(self._tasks)
        days = sorted(day for day in retention.days_of_work(folders) if day <= self._today)
        found = (days or [self._today])[-_STEADY:][0]
        if self._today - found > _LATE:
            self.left.append(
                f"predictions, quarantine and logs after {found} count from that day: since then the platform wrote on "
                f"fewer than {_STEADY} days, because it stood still or because the clock jumped"
            )
        return found

    def _nights_since(self, days: int) -> date:
        return self._night - timedelta(days=days)

    def _since_s(self, days: int) -> float:
        """Files have no date of their own but the moment of their last change."""
        day = self._clock - timedelta(days=days)
        return min(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp(), time.time() - 3600)


def _horizon(version: ModelVersion) -> int:
    return int(version.tags.get("horizon_days", 0))


def _dates(version: ModelVersion) -> list[date]:
    texts = (version.tags.get(name, "") for name in ("as_of", "holdout_snapshot"))
    return [date.fromisoformat(text) for text in texts if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text)]
