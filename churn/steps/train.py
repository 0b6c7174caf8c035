"""Train: fit a model on the panel, measure it on the held-out snapshot, register it with what explains it."""

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from churn.core.evaluation import Economics, evaluate, profit_curve
from churn.core.features import FEATURE_NAMES
from churn.core.model import ChurnModel
from churn.core.training import PARAMETERS
from churn.core.training import train as fit
from churn.errors import NotReady
from churn.io.figures import save_figures
from churn.io.lake import Lake, fingerprint, write_json
from churn.io.provenance import code_version, training_code_fingerprint
from churn.io.raw import load_contract
from churn.io.registry import Candidate, ModelVersion, Registry
from churn.settings import Settings
from churn.steps.build_panel import build_panel
from churn.steps.compare import compare
from churn.steps.promote import promote

SEED = 42


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
    """Fit, measure and register a model on the panel of ``as_of``.

    A new version waits at Staging. The same panel again finds the version it led to before instead of making another.
    """
    path = Lake(settings.data_home).panel(as_of)
    if not path.is_file():
        raise NotReady(f"there is no panel as of {as_of}: run `churn train --as-of {as_of}`")
    panel = pq.ParquetFile(path).read().to_pandas()
    holdout = panel["as_of"] == panel["as_of"].max()
    registry, identity = Registry(settings), _identity(path, settings)
    version = registry.find(identity)
    new = version is None
    if version is None:
        progress(f"fitting on {int((~holdout).sum()):,} rows")
        model = _fit(panel[~holdout], settings)
        progress("measuring on the hold-out and registering")
        tags = {**_tags(settings, as_of, panel[holdout]), **({"comment": comment} if comment else {})}
        version = _register(registry, model, panel[holdout], settings, tags, identity)
    if version.stage not in ("Production", "Staging"):
        registry.stage(version, "waits for the comparison with the model in production")
        version = registry.version(version.version)
    metrics = registry.metrics(version)
    return TrainReport(
        as_of=str(as_of),
        model_version=version.version,
        stage=version.stage,
        new=new,
        training_rows=int((~holdout).sum()),
        holdout_customers=int(holdout.sum()),
        holdout_churned=int(panel.loc[holdout, "churned"].sum()),
        metrics={k: v for k, v in metrics.items() if not k.startswith("cv_")},
        cross_validation={k.removeprefix("cv_"): v for k, v in metrics.items() if k.startswith("cv_")},
    )


def economics(settings: Settings) -> Economics:
    """The business figures of the settings."""
    return Economics(settings.contact_cost, settings.retained_value, settings.contact_success)


def _fit(rows: pd.DataFrame, settings: Settings) -> ChurnModel:
    return fit(
        rows[list(FEATURE_NAMES)], rows["churned"], rows["customer_id"], seed=SEED, economics=economics(settings)
    )


def _register(
    registry: Registry,
    model: ChurnModel,
    holdout: pd.DataFrame,
    settings: Settings,
    tags: dict[str, str],
    identity: str,
) -> ModelVersion:
    features = holdout[list(FEATURE_NAMES)]
    churned, probability = holdout["churned"].to_numpy(), model.predict_proba(features)
    metrics = evaluate(churned, probability, model.threshold)
    base = evaluate(churned, [model.card.churn_rate] * len(holdout), model.threshold)
    profit = profit_curve(churned, probability, economics(settings))
    with tempfile.TemporaryDirectory(prefix="churn-attachments-") as folder:
        attachments = Path(folder)
        save_figures(
            attachments / "figures", churned, probability,
            threshold=model.threshold, profit=profit, importance=model.card.importance,
        )  # fmt: skip
        write_json(attachments / "evaluation.json", {"holdout": metrics, "card": asdict(model.card), "profit": profit})
        return registry.register(
            Candidate(
                model=model,
                name=f"{tags['as_of']}, {model.card.rows:,} rows",
                description=_description(tags, metrics, base["log_loss"]),
                identity=identity,
                parameters={**model.card.parameters, "seed": SEED, "features": len(model.features),
                            "threshold": model.threshold, "training_rows": model.card.rows},
                metrics={**metrics, "holdout_churn_rate": float(churned.mean()),
                         "holdout_mean_probability": float(probability.mean()), "base_rate_log_loss": base["log_loss"],
                         **{f"cv_{k}": v for k, v in model.card.cross_validation.items()}},
                tags=tags,
                attachments=attachments,
                input_example=features.head(5).reset_index(drop=True),
            )
        )  # fmt: skip


def _description(tags: dict[str, str], metrics: dict[str, float], base_log_loss: float) -> str:
    return (
        f"ROC AUC {metrics['roc_auc']:.3f}, log loss {metrics['log_loss']:.4f} (base rate {base_log_loss:.4f}) on the "
        f"hold-out of {tags['holdout_snapshot']}: {tags['holdout_customers']} customers, {tags['holdout_churned']} "
        f"left. Trained on events from {tags['data_from']} to {tags['data_until']}. Figures are with the source run."
    )


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
        "horizon_days": str(load_contract(settings.contract).horizon_days),
        "panel_sha256": fingerprint(Lake(settings.data_home).panel(as_of)),
        "code_version": code_version(),
    }


def _identity(panel: Path, settings: Settings) -> str:
    """sha256 over everything the model depends on."""
    recipe = {
        "panel": fingerprint(panel),
        "code": training_code_fingerprint(),
        "parameters": dict(PARAMETERS),
        "seed": SEED,
        "economics": asdict(economics(settings)),
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
