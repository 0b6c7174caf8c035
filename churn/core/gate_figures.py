"""The figures of both models that a decision rests on, each with what is asked of it."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from churn.core.arrays import Floats
from churn.core.criteria import Criterion, Measure, better, not_worse
from churn.core.gate_rows import Part
from churn.core.paired import Draws, Rows, beyond_chance, figures, log_losses, paired, relative
from churn.core.promotion_policy import PromotionPolicy
from churn.core.reliability import calibration_bins, ece_by_chance
from churn.core.weighted_metrics import Ranking, Tally

LOG_LOSS = Measure("log_loss", "log loss", higher_is_better=False)
PROFIT = Measure("profit", "profit per customer", higher_is_better=True, digits=2)
ROC_AUC = Measure("roc_auc", "ROC AUC", higher_is_better=True)
ECE = Measure("ece", "calibration error beyond chance", higher_is_better=False)
IN_THE_LARGE = Measure("calibration_in_the_large", "error of the mean probability", higher_is_better=False)

_CHANCE_DRAWS = 100
"""For a mean: its standard error is below 3 % of it."""


def over_all(rows: Rows, policy: PromotionPolicy) -> list[Criterion]:
    old, new = figures(rows, draws_of(policy), policy.economics)
    rate = float(rows.churned.mean())
    # What contacting just the leavers would earn, per row: the scale on which a loss of profit is large or small.
    stake = max(0.0, policy.economics.earned(1.0, 1.0)) * rate
    margins = {
        PROFIT: policy.profit_margin * stake,
        ROC_AUC: policy.roc_auc_margin,
        ECE: policy.calibration_margin * rate,
        IN_THE_LARGE: policy.calibration_margin * rate,
    }
    found = {m: paired(old[m.name], new[m.name], policy.level) for m in (LOG_LOSS, *margins)}
    found[ECE] = beyond_chance(old["ece"], new["ece"], _chance(rows, policy), policy.level)
    return [
        better(LOG_LOSS, found[LOG_LOSS], policy.log_loss_gain, policy.level),
        *(not_worse(measure, found[measure], margin, policy.level) for measure, margin in margins.items()),
    ]


def _chance(rows: Rows, policy: PromotionPolicy) -> tuple[float, float]:
    """Calibration error that each model would show if it were calibrated perfectly."""
    old, new = (
        ece_by_chance(_whole(rows, p), _CHANCE_DRAWS, policy.seed, policy.level).value
        for p in (rows.champion, rows.challenger)
    )
    return old or 0.0, new or 0.0


def by_segment(rows: Rows, groups: Iterable[Part], policy: PromotionPolicy) -> dict[tuple[str, str], Criterion]:
    judged = {(part.kind, part.name): part.rows for part in groups if part.judged}
    return {
        (kind, name): not_worse(
            Measure("log_loss", f"log loss in {kind} “{name}”", higher_is_better=False, share=True),
            relative(*losses, policy.level), policy.segment_margin, policy.level,
        )
        for (kind, name), losses in log_losses(rows, draws_of(policy), judged).items()
    }  # fmt: skip


def segments_said(
    groups: Iterable[Part], judged: Mapping[tuple[str, str], Criterion]
) -> dict[str, dict[str, dict[str, Any]]]:
    """By kind and name: how large, what was found, and where nothing was judged, why not."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for part in groups:
        said: dict[str, Any] = {"rows": int(part.rows.sum()), "churned": part.churned, "judged": part.judged}
        if part.of:
            said["of"] = list(part.of)
        if part.judged:
            said |= asdict(judged[part.kind, part.name])
        else:
            said["reason"] = "too few left or stayed to judge it by itself"
        found.setdefault(part.kind, {})[part.name] = said
    return found


def calibration(rows: Rows, policy: PromotionPolicy) -> dict[str, list[dict[str, Any]]]:
    """Both models' tenths, for the curves."""
    return {
        name: [asdict(b) for b in calibration_bins(_whole(rows, p), rows.customers, policy.level)]
        for name, p in (("champion", rows.champion), ("challenger", rows.challenger))
    }


def draws_of(policy: PromotionPolicy) -> Draws:
    return Draws(policy.resamples, policy.seed)


def _whole(rows: Rows, probability: Floats) -> Tally:
    return Ranking(rows.churned, probability, rows.unit).tally(np.ones((1, rows.customers)))
