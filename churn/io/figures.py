"""The figures stored with every model, as PNG files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

_INK, _ACCENT, _QUIET = "#22303c", "#c2410c", "#94a3b8"


def save_figures(
    folder: Path,
    churned: NDArray[Any],
    probability: NDArray[np.float64],
    *,
    threshold: float,
    profit: Mapping[str, Any],
    importance: Mapping[str, float],
) -> None:
    """Write ROC, precision–recall, calibration, confusion, profit and importance figures of a hold-out."""
    folder.mkdir(parents=True, exist_ok=True)
    if 0 < churned.sum() < len(churned):  # with one class only, these curves do not exist
        _save(folder / "roc.png", "False positive rate", "True positive rate", _roc, churned, probability)
        _save(folder / "precision_recall.png", "Recall", "Precision", _precision_recall, churned, probability)
    _save(folder / "calibration.png", "Predicted", "Observed", _calibration, churned, probability)
    _save(folder / "confusion_matrix.png", "Predicted", "Actual", _confusion, churned, probability, threshold)
    _save(folder / "profit.png", "Threshold", "Profit on the hold-out", _profit, profit, threshold)
    _save(folder / "importance.png", "Share of the total gain", "", _importance, importance)


def _save(path: Path, x: str, y: str, draw: Any, *data: Any) -> None:
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    draw(axes, *data)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def _roc(axes: Axes, churned: NDArray[Any], probability: NDArray[np.float64]) -> None:
    false, true, _ = sk.roc_curve(churned, probability)
    axes.plot(false, true, color=_ACCENT)
    axes.plot([0, 1], [0, 1], color=_QUIET, linestyle="--")
    axes.set_title(f"ROC AUC {sk.roc_auc_score(churned, probability):.3f} on the hold-out", color=_INK)


def _precision_recall(axes: Axes, churned: NDArray[Any], probability: NDArray[np.float64]) -> None:
    precision, recall, _ = sk.precision_recall_curve(churned, probability)
    axes.plot(recall, precision, color=_ACCENT, drawstyle="steps-post")
    axes.axhline(churned.mean(), color=_QUIET, linestyle="--")
    axes.set_ylim(0, 1.02)
    axes.set_title(f"PR AUC {sk.average_precision_score(churned, probability):.3f}, dashed: churn rate", color=_INK)


def _calibration(axes: Axes, churned: NDArray[Any], probability: NDArray[np.float64]) -> None:
    observed, predicted = calibration_curve(churned, probability, n_bins=10, strategy="quantile")
    top = max(observed.max(), predicted.max()) * 1.05 or 1.0
    axes.plot([0, top], [0, top], color=_QUIET, linestyle="--")
    axes.plot(predicted, observed, "o-", color=_ACCENT)
    axes.set_title("Calibration, tenths of the hold-out", color=_INK)


def _confusion(axes: Axes, churned: NDArray[Any], probability: NDArray[np.float64], threshold: float) -> None:
    counts = sk.confusion_matrix(churned, probability >= threshold, labels=[0, 1])
    axes.imshow(counts, cmap="Oranges")
    for (row, column), n in np.ndenumerate(counts):
        dark = n > counts.max() / 2
        axes.text(column, row, f"{n:,}", ha="center", va="center", color="white" if dark else _INK, fontsize=14)
    axes.set_xticks([0, 1], ["stays", "churns"])
    axes.set_yticks([0, 1], ["stays", "churns"])
    axes.set_title(f"Decisions at threshold {threshold:.2f}", color=_INK)


def _profit(axes: Axes, profit: Mapping[str, Any], threshold: float) -> None:
    axes.plot(profit["threshold"], profit["profit"], color=_ACCENT)
    axes.axvline(threshold, color=_INK, linestyle=":")
    axes.axhline(0, color=_QUIET, linewidth=0.8)
    axes.set_title("Profit by threshold, dotted: in use", color=_INK)


def _importance(axes: Axes, importance: Mapping[str, float]) -> None:
    shown = list(importance.items())[:15][::-1]
    axes.barh([name for name, _ in shown], [share for _, share in shown], color=_ACCENT)
    axes.set_title("Feature importance", color=_INK)
