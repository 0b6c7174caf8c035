"""What of a training is stored with the version: the model card, figures, metrics, parameters and a description."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from churn.core.assessment import Assessment
from churn.core.model import CORE, FULL
from churn.core.model_card import model_card
from churn.io.drift_store import FOLDER, StoredReference, save_reference
from churn.io.figures import save_figures
from churn.io.lake import write_json
from churn.io.registry import Candidate
from churn.steps.fit import COLUMNS, SEED, Fitted


def candidate(
    fitted: Fitted,
    holdout: pd.DataFrame,
    tags: Mapping[str, str],
    identity: str,
    *,
    reference: StoredReference,
    title: str,
    folder: Path,
) -> Candidate:
    """Write the attachments into ``folder`` and put everything together."""
    _attach(folder, fitted, holdout, tags, title)
    save_reference(reference, folder / FOLDER)
    return Candidate(
        models=fitted.models,
        name=f"{tags['as_of']}, {fitted.models[FULL].card.rows:,} rows",
        description=_description(tags, fitted),
        identity=identity,
        parameters=_parameters(fitted),
        metrics=_metrics(fitted, holdout),
        tags=tags,
        attachments=folder,
        input_example=holdout[COLUMNS[FULL]].head(5).reset_index(drop=True),
    )


def _attach(folder: Path, fitted: Fitted, holdout: pd.DataFrame, tags: Mapping[str, str], title: str) -> None:
    """The model card, the figures it shows, and everything in it as numbers."""
    for name, assessment in fitted.assessments.items():
        save_figures(
            folder / "figures" / name, holdout["churned"].to_numpy(), fitted.probability[name], assessment,
            importance=fitted.models[name].card.importance, baselines=fitted.baselines[name],
        )  # fmt: skip
    importance = {name: model.card.importance for name, model in fitted.models.items()}
    said = [f"{c.name}: {c.message}" for c in fitted.canaries]
    card = model_card(
        f"{title}, trained as of {tags['as_of']}", _facts(tags, fitted), fitted.assessments, importance, said
    )
    (folder / "model_card.md").write_text(card)
    write_json(
        folder / "evaluation.json",
        {
            "holdout": {name: asdict(a) for name, a in fitted.assessments.items()},
            "cards": {name: asdict(m.card) for name, m in fitted.models.items()},
            "canaries": [asdict(c) for c in fitted.canaries],
        },
    )


def _facts(tags: Mapping[str, str], fitted: Fitted) -> dict[str, str]:
    cards = {name: model.card for name, model in fitted.models.items()}
    return {
        "trained as of": tags["as_of"],
        "hold-out": f"{tags['holdout_customers']} customers on {tags['holdout_snapshot']}",
        "events": f"{tags['data_from']} to {tags['data_until']}",
        "contract": f"{tags['contract']}, horizon {tags['horizon_days']} days",
        "training": f"{cards[FULL].rows:,} rows of {cards[FULL].customers:,} customers",
        **_sampled(cards[FULL].parameters.get("sample")),
        **{f"family, {name}": _families(card.family, card.families) for name, card in cards.items()},
        "code": tags["code_version"],
    }


def _sampled(sample: Mapping[str, float] | None) -> dict[str, str]:
    if sample is None:
        return {}
    shares = f"{sample['share_of_stayed']:.1%} of those who stayed, {sample['share_of_churned']:.1%} of the others"
    rows = f"{sample['rows_used']:,} of {sample['rows_in_all']:,} rows"
    return {"sample": f"{rows}: {shares}; trees on {sample['rows_of_the_trees']:,}"}


def _families(chosen: str, losses: Mapping[str, float]) -> str:
    others = ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items() if name != chosen)
    return f"{chosen}: cross-validated log loss {losses[chosen]:.4f} ({others})"


def _parameters(fitted: Fitted) -> dict[str, object]:
    found: dict[str, object] = {"seed": SEED}
    for name, model in fitted.models.items():
        card = model.card
        found |= {f"{name}.family": card.family, f"{name}.features": len(card.features)}
        found |= {f"{name}.threshold": card.threshold, f"{name}.trials": card.parameters["trials"]}
        for member, values in card.parameters.items():
            if isinstance(values, Mapping):
                found |= {f"{name}.{member}.{k}": v for k, v in values.items()}
    return found


def _metrics(fitted: Fitted, holdout: pd.DataFrame) -> dict[str, float]:
    """Of the full model without a prefix, of the core model with one; intervals beside them."""
    churn_rate = float(holdout["churned"].mean())
    found = {"holdout_churn_rate": churn_rate, "rows": float(len(holdout))}
    for name, prefix in ((FULL, ""), (CORE, f"{CORE}_")):
        assessment = fitted.assessments[name]
        found |= {f"{prefix}{k}": v for k, v in _flat(assessment)}
        found[f"{prefix}holdout_mean_probability"] = float(fitted.probability[name].mean())
        validated = fitted.models[name].card.cross_validation
        found |= {f"{prefix}cv_{k}": v for k, v in validated.items()}
    return found


def _flat(assessment: Assessment) -> Iterable[tuple[str, float]]:
    for metric, estimate in assessment.metrics.items():
        for end, value in (("", estimate.value), ("_low", estimate.low), ("_high", estimate.high)):
            if value is not None:
                yield f"{metric}{end}", value
    for baseline, metrics in assessment.baselines.items():
        for metric in ("roc_auc", "log_loss"):
            if (value := metrics[metric].value) is not None:
                yield f"{baseline.replace(' ', '_')}_{metric}", value


def _description(tags: Mapping[str, str], fitted: Fitted) -> str:
    found = fitted.assessments[FULL].metrics
    auc, loss = found["roc_auc"], found["log_loss"]
    base = fitted.assessments[FULL].baselines["base rate"]["log_loss"]
    ranks = "ROC AUC undefined" if auc.value is None else f"ROC AUC {auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f})"
    return (
        f"{ranks}, log loss {loss.value:.4f} (base rate {base.value:.4f}) on the "
        f"hold-out of {tags['holdout_snapshot']}: {tags['holdout_customers']} customers, {tags['holdout_churned']} "
        f"left. Trained on events from {tags['data_from']} to {tags['data_until']}. The source run has the model card."
    )
