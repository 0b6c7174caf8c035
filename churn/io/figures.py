"""The figures stored with every model, as PNG files."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from churn.core.arrays import Floats
from churn.core.assessment import Assessment
from churn.core.model_words import interval
from churn.core.resampling import Estimate
from churn.io.curve_figures import CURVES, curve
from churn.io.figure_style import ACCENT, BAND, INK, QUIET, headline, in_money, in_percent, plain, titled_axes

_IMPORTANT = 15


def save_figures(
    folder: Path,
    churned: NDArray[Any],
    probability: Floats,
    assessment: Assessment,
    *,
    importance: Mapping[str, float],
    baselines: Mapping[str, Floats] | None = None,
) -> list[Path]:
    """Draw a hold-out, outcomes 0/1 (n,) and probabilities (n,), and what ``assessment`` says of it.

    ``importance``: share by feature. ``baselines``: their probabilities (n,) by name, drawn as quiet lines.
    Returns what was written: ``metrics`` ``calibration`` ``confusion_matrix`` ``profit`` and ``importance``, and where
    both classes are present also ``roc`` ``precision_recall`` and ``gains``, all ``.png``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, tuple[Callable[..., None], tuple[Any, ...]]] = {
        "metrics": (_metrics, (assessment,)),
        "calibration": (_calibration, (assessment,)),
        "confusion_matrix": (_confusion, (assessment,)),
        "profit": (_profit, (assessment,)),
        "importance": (_importance, (importance,)),
    }
    if 0 < assessment.churned < assessment.rows:  # with one class only, these curves do not exist
        # The model last, so that it lies on top.
        lines = {name: curve(churned, p) for name, p in {**(baselines or {}), "model": probability}.items()}
        figures |= {name: (draw, (lines, assessment)) for name, draw in CURVES.items()}
    return [_save(folder / f"{name}.png", draw, *data) for name, (draw, data) in figures.items()]


def _save(path: Path, draw: Callable[..., None], *data: Any) -> Path:
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)  # inches
    figure = Figure(figsize=(6.4, 4.6), layout=layout, facecolor="white")
    draw(figure, *data)
    figure.savefig(path, dpi=120)
    return path


def _calibration(figure: Figure, assessment: Assessment) -> None:
    chance = assessment.ece_by_chance
    axes = titled_axes(
        figure, f"Calibration error {assessment.metrics['ece'].value:.3f}; chance alone: up to {chance.high:.3f}",
        "Predicted probability, mean of each tenth of the customers", "Share that churned",
    )  # fmt: skip
    bins = assessment.calibration
    x, y = (np.array([getattr(b, name) for b in bins]) for name in ("predicted", "observed"))
    low, high = (np.array([getattr(b, name) for b in bins]) for name in ("low", "high"))
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, label="as predicted")
    # Where all of a tenth churned, their share may be a rounding above one, at which the interval ends.
    reach = np.maximum((y - low, high - y), 0)
    axes.errorbar(
        x, y, yerr=reach, fmt="o", color=ACCENT, ecolor=ACCENT, elinewidth=1.2, capsize=3,
        label=f"observed, with {assessment.level:.0%} interval",
    )  # fmt: skip
    right, top = (1.1 * float(end) or 1.0 for end in (x.max(), max(x.max(), high.max())))
    axes.set_xlim(-0.02 * right, right)
    axes.set_ylim(-0.02 * top, top)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(in_percent)
    # Above the frame: intervals of a small hold-out reach into every corner.
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=9, labelcolor=INK)


def _confusion(figure: Figure, assessment: Assessment) -> None:
    axes = titled_axes(
        figure, f"Decisions from a probability of {assessment.threshold:.3f} on", "Decision", "What happened"
    )
    cells = assessment.confusion
    counts = np.array([[cells["tn"], cells["fp"]], [cells["fn"], cells["tp"]]])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Oranges", vmin=0, vmax=2.2, aspect="auto")
    for (row, column), n in np.ndenumerate(counts):
        axes.text(column, row - 0.06, f"{n:,}", ha="center", va="center", color=INK, fontsize=18)
        part = f"{shares[row, column]:.0%} of those who {('stayed', 'churned')[row]}" if counts[row].any() else "nobody"
        axes.text(column, row + 0.16, part, ha="center", va="center", color=INK, fontsize=9)
    axes.set_xticks([0, 1], ["leave alone", "contact"])
    axes.set_yticks([0, 1], ["stayed", "churned"])
    axes.grid(visible=False)


def _profit(figure: Figure, assessment: Assessment) -> None:
    axes = titled_axes(
        figure, f"Profit {interval(assessment.metrics['profit'], 0)} at the threshold in use",
        "Threshold: contact from this probability on", "Profit on the hold-out, against contacting nobody",
    )  # fmt: skip
    drawn = {name: np.asarray(values, dtype=float) for name, values in assessment.profit_curve.items()}
    x = drawn["threshold"]
    axes.fill_between(x, drawn["low"], drawn["high"], color=BAND, alpha=0.6, linewidth=0)
    axes.plot(x, drawn["profit"], color=ACCENT, linewidth=2)
    axes.axhline(0, color=QUIET, linewidth=0.9, zorder=1)
    axes.axvline(assessment.threshold, color=INK, linewidth=1, linestyle=":")
    # Contacting nearly everyone loses so much that it would flatten all the rest.
    near = x >= min(assessment.threshold * 0.75, x[-2])
    span = max(drawn["high"].max(), -drawn["low"][near].min(), assessment.economics.contact_cost) or 1.0
    axes.set_ylim(-1.15 * span, 1.15 * span)
    axes.set_xlim(0, min(1.0, max(1.15 * x[drawn["contacts"] > 0].max(), 1.3 * assessment.threshold, 0.05)))
    axes.annotate(
        f"in use: {assessment.threshold:.3f}", (assessment.threshold, -1.1 * span), xytext=(5, 0),
        textcoords="offset points", color=INK, fontsize=9,
    )  # fmt: skip
    axes.yaxis.set_major_formatter(in_money)


def _importance(figure: Figure, importance: Mapping[str, float]) -> None:
    axes = titled_axes(figure, "What the model looks at", "Share of the importance")
    shown = sorted(importance.items(), key=lambda item: (item[1], item[0]))[-_IMPORTANT:]
    bars = axes.barh([name for name, _ in shown], [share for _, share in shown], color=ACCENT, height=0.65)
    axes.bar_label(bars, [f"{share:.1%}" for _, share in shown], padding=4, color=INK, fontsize=8.5)
    axes.set_xlim(0, 1.14 * max([share for _, share in shown], default=1.0) or 1.0)
    axes.xaxis.set_major_formatter(in_percent)
    axes.set_ylim(min(-0.6, len(shown) - 5.5), max(len(shown), 1) - 0.4)  # a lone bar is still a bar
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    if len(importance) > _IMPORTANT:
        axes.set_xlabel(f"Share of the importance; the first {_IMPORTANT} of {len(importance)} features", color=INK)


def _metrics(figure: Figure, assessment: Assessment) -> None:
    rows = {"model": assessment.metrics, **assessment.baselines}
    title = f"{assessment.rows:,} rows, {assessment.churned:,} churned; with {assessment.level:.0%} intervals"
    headline(figure, title)
    panels = figure.subplots(2, 1)
    for axes, metric, label in zip(
        panels, ("roc_auc", "log_loss"), ("ROC AUC, higher is better", "Log loss, lower is better")
    ):
        plain(axes)
        axes.grid(visible=False, axis="y")
        axes.set_title(label, loc="left", fontsize=9.5, color=INK)
        for place, found in enumerate(rows.values()):
            _whisker(axes, place, found[metric])
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.08)
        if all(found[metric].value is None for found in rows.values()):
            axes.set_xticks([])


def _whisker(axes: Axes, place: int, found: Estimate) -> None:
    """A dot and its interval, with the figures beside the frame."""
    colour = ACCENT if place == 0 else QUIET
    if found.value is not None:
        axes.plot([found.value], [place], "o", color=colour, markersize=6.5)
        if found.low is not None and found.high is not None:
            axes.plot([found.low, found.high], [place, place], color=colour, linewidth=2.2, solid_capstyle="round")
    axes.text(1.02, place, interval(found, 3), transform=axes.get_yaxis_transform(), va="center", fontsize=9, color=INK)
