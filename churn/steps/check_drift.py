"""Check drift: does the night look like what the Production model was measured on?"""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from churn.core.categories import CategoryDrift, compare_categories
from churn.core.drift import DriftPolicy, DriftReport, compare
from churn.core.drift_words import summary_of
from churn.core.live_requests import LiveRequests
from churn.errors import BadInput, NotReady
from churn.io.checks import Checks
from churn.io.contracts import contract_of
from churn.io.drift_report import drift_page
from churn.io.drift_store import FOLDER, StoredReference, load_reference
from churn.io.engines.chosen import engine_of
from churn.io.event_kinds import events_by_kind
from churn.io.lake import Lake, write_json, write_text
from churn.io.registry import ModelVersion, Registry
from churn.settings import Settings
from churn.steps.drift_tables import drift_table
from churn.steps.live_requests import live_requests

_POLICY = DriftPolicy()


@dataclass(frozen=True)
class DriftCheck:
    """What the night's comparison came to."""

    as_of: str
    model_version: str
    alarm: bool
    drifted: tuple[str, ...]
    """Features, and kinds of events that are new or gone; the farthest first."""
    summary: str
    nights: int
    """Nights of alarm in a row, this one included; one night without a check in between is let pass."""
    persists: bool
    """There are as many of them as a retraining waits for."""
    report: str
    """Path of the HTML page; empty where there was nothing to compare with."""


def check_drift(settings: Settings, as_of: date, *, progress: Callable[[str], None] = lambda _: None) -> DriftCheck:
    """Compare the night with the hold-out of the Production version, record it and write the report.

    The same date again gives the same. Raises NotReady without a Production model or events, BadInput for a night
    before the hold-out of the model.
    """
    registry, lake = Registry(settings), Lake(settings.data_home)
    production = registry.production()
    if production is None:
        raise NotReady("no model is in production: run `churn train` (or the DAG retrain_model) first")
    stored = _reference(registry, production)
    requests = live_requests(lake.home, as_of, production.version)
    if stored is None:
        said = f"version {production.version} has no drift reference: nothing is compared until the next training"
        return _record(settings, as_of, production, said, requests)
    elapsed = (as_of - stored.as_of).days
    if elapsed < 0:
        raise BadInput(
            f"version {production.version} was measured on {stored.as_of}, and {as_of} lies before it: check that date "
            "or a later one"
        )
    progress(f"features of the {stored.history_days} days before {as_of}")
    full = registry.load(production).full
    table = drift_table(lake, as_of, stored.history_days, full, engine=engine_of(settings))
    if missing := [name for name in stored.reference.columns if name not in table]:
        said = f"version {production.version} knows features that this code does not compute ({missing}): train again"
        return _record(settings, as_of, production, said, requests)
    if table.empty:
        raise NotReady(f"no customer is at risk as of {as_of}: there is nothing to compare")
    progress(f"comparing {len(table):,} customers with {stored.reference.rows:,} of {stored.as_of}")
    found = compare(stored.reference, table, policy=_POLICY, elapsed_days=elapsed)
    today = events_by_kind(
        lake, contract_of(settings), as_of - timedelta(days=1), as_of, named=stored.kinds,
        megabytes=settings.engine_megabytes,
    )  # fmt: skip
    kinds = compare_categories(stored.kinds, today, _POLICY) if today and stored.kinds else None
    alarm = found.drifted or (kinds is not None and kinds.drifted)
    nights = 1 + _alarms_before(settings, as_of, production.version) if alarm else 0
    summary = summary_of(found, kinds, _POLICY, since=str(stored.as_of), day=str(as_of - timedelta(days=1)))
    facts = {
        "as_of": str(as_of), "model_version": production.version, "reference": str(stored.as_of),
        "history_days": stored.history_days, "alarm": alarm, "nights": nights, "summary": summary,
    }  # fmt: skip
    page = drift_page(
        facts, found, kinds, stored.reference, table,
        policy=_POLICY, elapsed_days=elapsed, enough=settings.drift_nights, requests=requests,
    )  # fmt: skip
    return _record(
        settings, as_of, production, summary, requests, alarm=alarm, nights=nights,
        detail=_detail(found, kinds, stored), drifted=_names(found, kinds),
        report=_write(lake, as_of, page, facts, found, kinds, requests),
    )  # fmt: skip


def _write(
    lake: Lake,
    as_of: date,
    page: str,
    facts: dict[str, Any],
    found: DriftReport,
    kinds: CategoryDrift | None,
    requests: LiveRequests | None,
) -> str:
    """The page, and beside it everything in it as numbers; the page's path."""
    folder = lake.reports / "drift" / f"as_of={as_of}"
    beside = {"kinds": asdict(kinds) if kinds else None, "requests": asdict(requests) if requests else None}
    write_json(folder / "drift.json", {**facts, "table": asdict(found), **beside})
    write_text(folder / "drift.html", page)
    return str(folder / "drift.html")


def _reference(registry: Registry, version: ModelVersion) -> StoredReference | None:
    aside = Path(tempfile.mkdtemp(prefix="churn-drift-"))
    try:
        folder = registry.attachment(version, FOLDER, aside)
        return None if folder is None else load_reference(folder)
    finally:
        shutil.rmtree(aside)


def _record(
    settings: Settings,
    as_of: date,
    production: ModelVersion,
    summary: str,
    requests: LiveRequests | None,
    *,
    alarm: bool = False,
    nights: int = 0,
    drifted: tuple[str, ...] = (),
    detail: dict[str, Any] | None = None,
    report: str = "",
) -> DriftCheck:
    # What the API was asked is said, and decides nothing: see churn.core.live_requests.
    summary = "; ".join(filter(None, (summary, requests.summary if requests else "")))
    asked = {"requests": requests.detail} if requests else {}
    with closing(Checks(settings.score_database)) as checks:
        checks.record(
            as_of, "drift", production.version, alarm=alarm, summary=summary,
            detail={"drifted": list(drifted), "nights": nights, **(detail or {"compared": False}), **asked},
        )  # fmt: skip
    persists = nights >= settings.drift_nights
    return DriftCheck(str(as_of), production.version, alarm, drifted, summary, nights, persists, report)


def _alarms_before(settings: Settings, as_of: date, version: str) -> int:
    """Nights of alarm of this version just before ``as_of``, none of them more than two days from the next."""
    with closing(Checks(settings.score_database)) as checks:
        earlier = [c for c in checks.all("drift", until=as_of - timedelta(days=1)) if c.model_version == version]
    nights, after = 0, as_of
    for check in earlier:
        if not check.alarm or (after - check.as_of).days > 2:
            break
        nights, after = nights + 1, check.as_of
    return nights


def _names(found: DriftReport, kinds: CategoryDrift | None) -> tuple[str, ...]:
    events = () if kinds is None or not kinds.drifted else tuple(s.name for s in (*kinds.new, *kinds.vanished))
    moved = ("events by kind",) if kinds is not None and kinds.drifted and not events else ()
    return (*(f.name for f in found.drifted_features), *events, *moved)


def _detail(found: DriftReport, kinds: CategoryDrift | None, stored: StoredReference) -> dict[str, Any]:
    def short(value: float | None) -> float | None:
        return None if value is None else float(f"{value:.4g}")

    return {
        "compared": True,
        "reference": str(stored.as_of),
        "rows": {"reference": found.rows_reference, "current": found.rows_current},
        "features": {
            f.name: {
                "ks": short(f.ks), "psi": short(f.psi), "js": short(f.js), "q": short(f.q_value),
                "missing": short(f.missing_current), "drifted": f.drifted,
            }
            for f in found.features
        },
        "kinds": None if kinds is None else {"js": short(kinds.js), "why": kinds.why, "drifted": kinds.drifted},
    }  # fmt: skip
