"""benchmarks/RESULTS.md: how figures are written down. A section that is measured again replaces the one before."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cdnow import Cdnow
from benchmarks.measured import LOWER_IS_BETTER, Measured
from benchmarks.peers import OURS
from benchmarks.real_tables import Compared
from churn.core.model_words import interval, number, percent, verdict
from churn.core.oracle import OracleResult, Rival
from churn.core.resampling import Estimate

HEAD = """\
# Results

Written by `make bench-quality`. All figures are measured on customers that a method had not seen; brackets hold 95 %
intervals from 1,000 draws of customers. Differences are this project's figure minus the other's, on the same draws;
"better" and "worse" are only said where the interval excludes 0.
"""
_COLUMNS: Mapping[str, tuple[str, int]] = {
    "roc_auc": ("ROC AUC", 3),
    "precision_recall_auc": ("AP", 3),
    "log_loss": ("log loss", 4),
    "captured_at_10": ("churners in the top 10 %", 3),
    "ece": ("ECE", 4),
}
_WITH_F1 = {**_COLUMNS, "f1_score": ("F1 at 0.5", 3), "f1_best": ("F1 at the best threshold expected", 3)}
_DIFFERENCES = ("roc_auc", "precision_recall_auc", "log_loss")


@dataclass(frozen=True)
class Target:
    """What a figure should reach."""

    what: str
    metric: str
    wanted: float
    digits: int = 3


PANEL_TARGETS = (
    Target("ROC AUC", "roc_auc", 0.757),
    Target("AP", "precision_recall_auc", 0.129),
    Target("share of churners in the top 10 %", "captured_at_10", 0.37),
    Target("ECE", "ece", 0.01, 4),
)
USERS_TARGETS = (
    Target("ROC AUC", "roc_auc", 0.932),
    Target("AP", "precision_recall_auc", 0.857),
    Target("F1", "f1_best", 0.78),
)
CLOSED_TARGET = 0.9
_CLOSED = "share of the ROC AUC above 0.5"


def real_table(found: Compared, targets: Sequence[Target], *, f1: bool) -> str:
    """All methods on one table, the differences, and the targets."""
    said = (
        f"{found.customers:,} customers, {found.churned:,} churned ({percent(found.churned / found.customers)}), "
        f"{found.columns} columns. {found.folds} stratified outer folds; whatever a method chooses (settings, rounds, "
        "calibration), it chooses on the other folds. Figures are of the pooled out-of-fold predictions."
    )
    ours = found.measured.methods[OURS]
    return _paragraphs(
        said,
        methods(found.measured, _WITH_F1 if f1 else _COLUMNS, found.seconds),
        differences(found.measured),
        _table(["target", "wanted", "measured", ""], (_target(t, ours[t.metric]) for t in targets)),
    )


def leakage(found: Measured) -> str:
    """The reference recipe on the 225 customers of the write-up."""
    return _paragraphs(
        "The write-up reports a ROC AUC of 0.911 for its recipe on these customers, 52 of whom cancelled. The same "
        "recipe, five folds, on columns of the public table:",
        methods(found, {m: _COLUMNS[m] for m in ("roc_auc", "precision_recall_auc")}, {}),
        "Whoever cancels leaves no more events: a column that stops with them is the label, not a reason for it. A "
        "cancelled customer's tenure is short because they cancelled.",
    )


def cdnow(found: Cdnow) -> str:
    """The second kind of business."""
    columns = {m: _COLUMNS[m] for m in ("roc_auc", "precision_recall_auc", "log_loss", "ece")}
    peers = [m for m in found.everyone.methods if "BG/NBD" in m and not m.startswith("M")]
    return _paragraphs(
        f"Hold-out: {found.customers:,} customers on {found.holdout}; {found.churned:,} "
        f"({percent(found.churned / found.customers)}) buy nothing in the next 90 days. Trained on "
        f"{found.training_rows:,} rows of {len(found.training)} cut-offs up to {found.training[-1]}, whose outcomes "
        f"were known by the hold-out's. BG/NBD: {found.peer}.",
        methods(found.everyone, columns, found.seconds),
        differences(found.everyone),
        f"Only those who bought in the 90 days before ({found.lately:,}, of whom {found.lately_churned:,} buy nothing "
        "in the next 90): whom a shop would still call customers.",
        methods(found.bought_lately, columns, {}),
        differences(found.bought_lately),
        _table(["target", ""], _ahead(found.everyone, ["recency rule", *_better(found.everyone, peers)])),
    )


def simulated(found: OracleResult, *, customers: int, days: int) -> str:
    """Against whoever knows the truth."""

    def closed(rival: Rival) -> list[str]:
        return [
            interval(rival.roc_auc, 3), interval(rival.log_loss, 4),
            interval(rival.roc_auc_closed, 3), interval(rival.log_loss_closed, 3),
        ]  # fmt: skip

    rows = [
        ["true hazard", interval(found.roc_auc, 3), interval(found.log_loss, 4), "1", "1"],
        *([f"this project, {name}", *closed(rival)] for name, rival in found.models.items()),
        ["base rate", "0.500", interval(found.base_log_loss, 4), "0", "0"],
    ]
    full = found.models["full"].roc_auc_closed
    reached = "not measured" if full.value is None else _reached(full.value >= CLOSED_TARGET)
    return _paragraphs(
        f"A generated log of {customers:,} customers and {days} days. Hold-out: {found.customers:,} at risk on "
        f"{found.holdout}, {found.churned:,} of whom cancel in the next 14 days.",
        _table(["", "ROC AUC", "log loss", _CLOSED, "share of the log loss below the base rate's"], rows),
        _table(["target", "wanted", "measured", ""], [[_CLOSED, f"≥ {CLOSED_TARGET}", interval(full, 3), reached]]),
    )


def methods(found: Measured, columns: Mapping[str, tuple[str, int]], seconds: Mapping[str, float]) -> str:
    """One row per method."""
    heads = ["", *(head for head, _ in columns.values()), *(["seconds per fit"] if seconds else [])]
    return _table(
        heads,
        (
            [_ours_bold(name), *(interval(figures[m], digits) for m, (_, digits) in columns.items())]
            + ([_seconds(seconds.get(name, 0.0))] if seconds else [])
            for name, figures in found.methods.items()
        ),
    )


def differences(found: Measured) -> str:
    """This project's figures minus each other method's."""
    return _table(
        ["minus", *(_COLUMNS[m][0] for m in _DIFFERENCES)],
        ([name, *(_difference(m, d[m]) for m in _DIFFERENCES)] for name, d in found.versus.items()),
    )


def merge(path: Path, sections: Mapping[str, str], order: Sequence[str]) -> str:
    """The page with these sections, by title, in place of the ones that it had."""
    held = path.read_text() if path.is_file() else ""
    parts = [part.partition("\n") for part in re.split(r"(?m)^## ", held)[1:]]
    found = {title.strip(): text.strip() for title, _, text in parts} | dict(sections)
    titles = [*(t for t in order if t in found), *(t for t in found if t not in order)]
    return "\n\n".join([HEAD.strip(), *(f"## {title}\n\n{found[title]}" for title in titles)]) + "\n"


def _ahead(found: Measured, names: Iterable[str]) -> list[list[str]]:
    return [
        [f"ahead of {name}", _reached(verdict(found.versus[name]["roc_auc"], higher_is_better=True) == "better")]
        for name in names
    ]


def _better(found: Measured, peers: Sequence[str]) -> list[str]:
    """The one that ranks best."""
    return [max(peers, key=lambda name: found.methods[name]["roc_auc"].value or 0.0)] if peers else []


def _target(target: Target, found: Estimate) -> list[str]:
    lower = target.metric in LOWER_IS_BETTER
    reached = found.value is not None and (found.value <= target.wanted if lower else found.value >= target.wanted)
    return [target.what, f"{'≤' if lower else '≥'} {target.wanted}", interval(found, target.digits), _reached(reached)]


def _reached(yes: bool) -> str:
    return "reached" if yes else "**not reached**"


def _difference(metric: str, found: Estimate) -> str:
    if found.value is None or found.low is None or found.high is None:
        return "–"
    low, high, value = (number(v, 4) for v in (found.low, found.high, found.value))
    return f"{value} ({low} to {high}) {verdict(found, higher_is_better=metric not in LOWER_IS_BETTER)}"


def _seconds(seconds: float) -> str:
    return "" if not seconds else "< 1" if seconds < 1 else f"{seconds:,.0f}"


def _ours_bold(name: str) -> str:
    return f"**{name}**" if name == OURS else name


def _paragraphs(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
