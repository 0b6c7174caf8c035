"""Train: fit both models of a version on the panel, measure them on the held-out snapshot, register them."""

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

import pandas as pd

from churn.core.model import CORE, FULL
from churn.errors import NotReady, Unavailable
from churn.io.contracts import contract_of
from churn.io.engines.chosen import engine_of
from churn.io.lake import Lake, fingerprint
from churn.io.panel_file import PanelFile, TrainingRows
from churn.io.provenance import code_version, training_code_fingerprint
from churn.io.registry import ModelVersion, Registry
from churn.settings import Settings
from churn.steps.build_panel import build_panel
from churn.steps.candidate import candidate
from churn.steps.compare import compare
from churn.steps.drift_tables import drift_reference
from churn.steps.fit import SEED, Fitted, economics, fit_rows
from churn.steps.promote import promote
from churn.steps.reconcile import agreed


@dataclass(frozen=True)
class TrainReport:
    """The registered version, where it stands, and its metrics on the hold-out."""

    as_of: str
    model_version: str
    stage: str
    new: bool
    """False when this very training had been done before: same data, parameters and code."""
    training_rows: int
    """Of the panel, in all."""
    training_rows_used: int
    """Fewer where the panel is longer than a training holds in memory: who churned, and a sample of the others."""
    holdout_customers: int
    holdout_churned: int
    metrics: dict[str, float]
    """Of the full model, with ``…_low`` and ``…_high`` for the 95 % interval."""
    core_metrics: dict[str, float]
    cross_validation: dict[str, float]


def train(settings: Settings, as_of: date, *, progress: Callable[[str], None] = lambda _: None) -> TrainReport:
    """Panel, fit, hold-out, registry. The first model goes into production at once; a later one waits at Staging."""
    progress("building the panel")
    build_panel(settings, as_of)
    report = train_on_panel(settings, as_of, progress=progress)
    if Registry(settings).production() is None:
        compare(settings, report.model_version)
        promote(settings, report.model_version)
        report = replace(report, stage=Registry(settings).version(report.model_version).stage)
    return report


def train_on_panel(
    settings: Settings, as_of: date, comment: str | None = None, *, progress: Callable[[str], None] = lambda _: None
) -> TrainReport:
    """Fit, measure and register both models on the panel of ``as_of``.

    A new version waits at Staging. The same panel again finds the version it led to before instead of making another.
    """
    path = Lake(settings.data_home).panel(as_of)
    if not path.is_file():
        raise NotReady(f"there is no panel as of {as_of}: run `churn train --as-of {as_of}`")
    panel = PanelFile(path, megabytes=settings.engine_megabytes, home=settings.data_home)
    panel_sha256 = fingerprint(path)
    training, holdout = panel.training(settings.training_rows, SEED), panel.holdout(settings.training_rows)
    registry, identity = Registry(settings), _identity(panel_sha256, panel, settings)
    version = registry.find(identity)
    new = version is None
    if version is None:
        fitted = _fit(panel, training, holdout, settings, progress)
        if fingerprint(path) != panel_sha256:
            raise Unavailable(f"{path} was written anew while it was trained on: train again")
        progress("drawing figures and registering")
        tags = {**_tags(settings, as_of, holdout), "panel_sha256": panel_sha256, **_sampled(panel, training)}
        tags |= {"comment": comment} if comment else {}
        version = _register(registry, fitted, holdout, tags, identity, settings)
    version = staged(settings, version.version)
    metrics = registry.metrics(version)
    core, cv = f"{CORE}_", "cv_"
    return TrainReport(
        as_of=str(as_of),
        model_version=version.version,
        stage=version.stage,
        new=new,
        training_rows=panel.training_rows,
        training_rows_used=len(training.rows),
        holdout_customers=len(holdout),
        holdout_churned=int(holdout["churned"].sum()),
        metrics={k: v for k, v in metrics.items() if not k.startswith((core, cv))},
        core_metrics={k.removeprefix(core): v for k, v in metrics.items() if k.startswith(core)},
        cross_validation={k.removeprefix(cv): v for k, v in metrics.items() if k.startswith(cv)},
    )


def _fit(
    panel: PanelFile,
    training: TrainingRows,
    holdout: pd.DataFrame,
    settings: Settings,
    progress: Callable[[str], None],
) -> Fitted:
    if training.weights is None:
        return fit_rows(training, holdout, settings, progress=progress)
    progress(f"training on {len(training.rows):,} of {panel.training_rows:,} rows; the trees at last on all of them")
    return fit_rows(training, holdout, settings, whole=panel.whole, progress=progress)


def staged(settings: Settings, version: str) -> ModelVersion:
    """Let a version wait at Staging, unless it is in production by now.

    Looks and moves while nobody else moves a version: one promoted in between would leave none in production.
    """
    with agreed(settings) as both:
        found = both.registry.version(version)
        if found.stage in ("Production", "Staging"):
            return found
        both.registry.stage(found, "waits for the comparison with the model in production")
        return both.registry.version(version)


def _register(
    registry: Registry, fitted: Fitted, holdout: pd.DataFrame, tags: dict[str, str], identity: str, settings: Settings
) -> ModelVersion:
    held_out = date.fromisoformat(tags["holdout_snapshot"])
    lake, contract = Lake(settings.data_home), contract_of(settings)
    reference = drift_reference(
        lake, contract, held_out, fitted.models[FULL],
        engine=engine_of(settings), megabytes=settings.engine_megabytes,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="churn-attachments-") as folder:
        return registry.register(
            candidate(
                fitted, holdout, tags, identity,
                reference=reference, title=settings.registered_model, folder=Path(folder),
            )
        )  # fmt: skip


def _tags(settings: Settings, as_of: date, holdout: pd.DataFrame) -> dict[str, str]:
    """Where the model comes from: the data window, the contract and the code."""
    days = Lake(settings.data_home).event_days()
    return {
        "as_of": str(as_of),
        "data_from": str(days[0]),
        "data_until": str(max(d for d in days if d < as_of)),
        "holdout_snapshot": str(holdout["as_of"].iloc[0]),
        "holdout_customers": str(len(holdout)),
        "holdout_churned": str(int(holdout["churned"].sum())),
        "contract": settings.contract,
        "horizon_days": str(contract_of(settings).horizon_days),
        "code_version": code_version(),
    }


def _sampled(panel: PanelFile, training: TrainingRows) -> dict[str, str]:
    """How many rows there were, how many were used, and the share of each class that this is."""
    churned = int(training.rows["churned"].sum())
    stayed = len(training.rows) - churned
    return {
        "training_rows": str(panel.training_rows),
        "training_rows_used": str(len(training.rows)),
        "training_share_of_stayed": f"{stayed / max(panel.stayed, 1):.4g}",
        "training_share_of_churned": f"{churned / max(panel.churned, 1):.4g}",
    }


def _identity(panel_sha256: str, panel: PanelFile, settings: Settings) -> str:
    """sha256 over everything the models depend on."""
    recipe = {
        "panel": panel_sha256,
        "rows": [min(rows, settings.training_rows) for rows in (panel.training_rows, panel.holdout_rows)],
        "code": training_code_fingerprint(),
        "trials": settings.search_trials,
        "seed": SEED,
        "economics": asdict(economics(settings)),
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
