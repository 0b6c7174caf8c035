"""Train: fit both models of a version on the panel, measure them on the held-out snapshot, register them."""

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from churn.core.model import CORE, FULL
from churn.errors import NotReady
from churn.io.contracts import contract_of
from churn.io.lake import Lake, fingerprint
from churn.io.provenance import code_version, training_code_fingerprint
from churn.io.registry import ModelVersion, Registry
from churn.settings import Settings
from churn.steps.build_panel import build_panel
from churn.steps.candidate import candidate
from churn.steps.compare import compare
from churn.steps.drift_tables import drift_reference
from churn.steps.fit import SEED, Fitted, economics, fit_panel, split
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
    panel = pq.ParquetFile(path).read().to_pandas()
    training, holdout = split(panel)
    registry, identity = Registry(settings), _identity(path, settings)
    version = registry.find(identity)
    new = version is None
    if version is None:
        fitted = fit_panel(panel, settings, progress=progress)
        progress("drawing figures and registering")
        tags = {**_tags(settings, as_of, holdout), **({"comment": comment} if comment else {})}
        version = _register(registry, fitted, holdout, tags, identity, settings)
    version = staged(settings, version.version)
    metrics = registry.metrics(version)
    core, cv = f"{CORE}_", "cv_"
    return TrainReport(
        as_of=str(as_of),
        model_version=version.version,
        stage=version.stage,
        new=new,
        training_rows=len(training),
        holdout_customers=len(holdout),
        holdout_churned=int(holdout["churned"].sum()),
        metrics={k: v for k, v in metrics.items() if not k.startswith((core, cv))},
        core_metrics={k.removeprefix(core): v for k, v in metrics.items() if k.startswith(core)},
        cross_validation={k.removeprefix(cv): v for k, v in metrics.items() if k.startswith(cv)},
    )


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
    reference = drift_reference(Lake(settings.data_home), contract_of(settings), held_out, fitted.models[FULL])
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
        "panel_sha256": fingerprint(Lake(settings.data_home).panel(as_of)),
        "code_version": code_version(),
    }


def _identity(panel: Path, settings: Settings) -> str:
    """sha256 over everything the models depend on."""
    recipe = {
        "panel": fingerprint(panel),
        "code": training_code_fingerprint(),
        "trials": settings.search_trials,
        "seed": SEED,
        "economics": asdict(economics(settings)),
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
