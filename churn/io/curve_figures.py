"""The curves that need both outcomes: ROC, precision by recall, and churners reached by customers contacted."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from churn.core.arrays import Floats
from churn.core.assessment import Assessment
from churn.core.model_words import interval
from churn.core.weighted_metrics import Ranking
from churn.io.figure_style import ACCENT, INK, QUIET, in_percent, titled_axes

_DASHES: tuple[Any, ...] = ("--", ":", "-.", (0, (1, 3)))

Curves = Mapping[str, Mapping[str, Floats]]
"""By who predicted, "model" among them: what :func:`curve` gives."""


def curve(churned: NDArray[Any], probability: Floats) -> dict[str, Floats]:
    """Share of the customers, of the churners and of the others at each probability or above, from none to all."""
    tally = Ranking(churned, probability).tally(np.ones((1, 1)))
    rows, hits = tally.rows_above[0], tally.churned_above[0]
    shares = {"rows": rows / rows[-1], "churned": hits / hits[-1], "others": (rows - hits) / (rows[-1] - hits[-1])}
    return {name: np.concatenate([[0.0], share]) for name, share in shares.items()} | {"precision": hits / rows}


def _lines(axes: Axes, lines: Mapping[str, tuple[Floats, Floats]], **style: Any) -> None:
    for place, (name, (x, y)) in enumerate(lines.items()):
        if name == "model":
            axes.plot(x, y, color=ACCENT, linewidth=2.2, label="model", **style)
        elif len(x) <= 2:
            continue  # one probability for all: the line of chance, which is drawn anyway
        else:
            axes.plot(x, y, color=QUIET, linewidth=1.2, linestyle=_DASHES[place % len(_DASHES)], label=name, **style)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.02, 1.04)


def _legend(axes: Axes, place: Literal["lower right", "upper right"]) -> None:
    handles, names = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], names[::-1], loc=place, frameon=False, fontsize=9, labelcolor=INK)


def _roc(figure: Figure, curves: Curves, assessment: Assessment) -> None:
    axes = titled_axes(
        figure, f"ROC AUC {interval(assessment.metrics['roc_auc'], 3)}",
        "Share of those who stay that are called churners", "Share of the churners found",
    )  # fmt: skip
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, label="chance")
    _lines(axes, {name: (c["others"], c["churned"]) for name, c in curves.items()})
    _legend(axes, "lower right")


def _precision_recall(figure: Figure, curves: Curves, assessment: Assessment) -> None:
    axes = titled_axes(
        figure, f"Average precision {interval(assessment.metrics['precision_recall_auc'], 3)}",
        "Recall: share of the churners found", "Precision: share of those found who churn",
    )  # fmt: skip
    rate = assessment.churned / assessment.rows
    axes.axhline(rate, color=QUIET, linewidth=0.8, label=f"churn rate, {rate:.1%}")
    lines = {name: (c["churned"][1:], c["precision"]) for name, c in curves.items()}
    _lines(axes, lines, drawstyle="steps-post")
    _legend(axes, "upper right")


def _gains(figure: Figure, curves: Curves, assessment: Assessment) -> None:
    captured, lift = assessment.metrics["captured_at_10"].value, assessment.metrics["lift_at_10"].value
    axes = titled_axes(
        figure, f"The top 10% hold {captured:.0%} of the churners (lift {lift:.1f})",
        "Share of the customers contacted, highest probability first", "Share of the churners reached",
    )  # fmt: skip
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, label="in any order")
    _lines(axes, {name: (c["rows"], c["churned"]) for name, c in curves.items()})
    axes.plot([0.1, 0.1], [0, captured or 0], color=INK, linewidth=0.9, linestyle=":")
    axes.plot([0.1], [captured or 0], "o", color=INK, markersize=5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(in_percent)
    _legend(axes, "lower right")


CURVES: Mapping[str, Callable[..., None]] = {"roc": _roc, "precision_recall": _precision_recall, "gains": _gains}
