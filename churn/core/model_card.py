"""The model card: what a model answers, where it comes from, how good it is and what not to trust, in Markdown.

Every sentence is built from the figures at hand, so that it is true for whatever they turn out to be.
"""

from collections.abc import Iterable, Mapping, Sequence

from churn.core.assessment import Assessment, SegmentAssessment
from churn.core.baselines import BASELINES
from churn.core.model_warnings import warnings_of
from churn.core.model_words import difference, interval, number, percent

_TABLE: Mapping[str, tuple[str, int]] = {
    "roc_auc": ("ROC AUC", 3),
    "precision_recall_auc": ("PR AUC (average precision)", 3),
    "log_loss": ("log loss", 4),
    "brier": ("Brier score", 4),
    "ece": ("calibration error (ECE)", 3),
    "lift_at_10": ("lift of the top 10 %", 2),
    "captured_at_10": ("share of the churners in the top 10 %", 3),
    "profit": ("profit on the hold-out", 0),
    "profit_per_customer": ("profit per row", 2),
}
_AT_THRESHOLD = {"accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1_score": "F1"}
_FIGURES = {
    "metrics": "next to the baselines",
    "roc": "ROC",
    "precision_recall": "precision and recall",
    "calibration": "calibration",
    "gains": "churners reached by share contacted",
    "profit": "profit by threshold",
    "confusion_matrix": "decisions",
    "importance": "features",
}
_CURVES = ("roc", "precision_recall", "gains")
_IMPORTANT = 10


def model_card(
    title: str,
    facts: Mapping[str, str],
    assessments: Mapping[str, Assessment],
    importance: Mapping[str, Mapping[str, float]],
    canaries: Sequence[str],
) -> str:
    """Markdown. ``facts``: where the model comes from, as people should read it. ``assessments`` and ``importance``
    (share by feature) by model, such as "full" and "core"; ``canaries``: what checks for leaked features found.

    Figures are linked as ``figures/<model>/<figure>.png``, relative to the card.
    """
    baselines = dict.fromkeys(name for found in assessments.values() for name in found.baselines)
    parts = [
        f"# {title}",
        "For a customer at risk at a cut-off, the model answers: how probable is it that they leave within the "
        "horizon, judging only by what was known before the cut-off? It is made to choose whom to contact. It does not "
        "say what makes a customer leave, nor whether a contact changes their mind.",
        "## Where it comes from",
        _table(["", ""], facts.items()),
        "## How good it is",
        "Measured on a hold-out that neither the model nor the baselines were fitted on. Brackets hold intervals, from "
        "drawing the hold-out's customers, each with all of their rows, again and again."
        + (" The baselines are:" if baselines else ""),
        _list(f"**{name}**: {BASELINES.get(name, 'as given')}" for name in baselines),
    ]
    for name, assessment in assessments.items():
        parts += [f"## Model “{name}”", *_model(name, assessment, importance.get(name, {}))]
    parts += ["## What to watch out for", _list(_cautions(assessments, canaries))]
    return "\n\n".join(part for part in parts if part) + "\n"


def _model(name: str, found: Assessment, importance: Mapping[str, float]) -> list[str]:
    return [
        f"{found.rows:,} rows of {found.customers:,} customers; {found.churned:,} churned "
        f"({percent(found.churned / found.rows)}). Brackets hold {percent(found.level)} intervals.",
        _metrics(found),
        "### Against the baselines" if found.versus else "",
        _list(_differences(found)),
        "### Decisions and profit",
        *_decisions(found),
        *_segments(found),
        "### What it looks at" if importance else "",
        _list(f"`{feature}` {percent(share)}" for feature, share in _largest(importance)),
        "### Figures",
        _figures(name, found, importance),
    ]


def _metrics(found: Assessment) -> str:
    columns = {"model": found.metrics, **found.baselines}
    rows = ([label, *(interval(c[m], digits) for c in columns.values())] for m, (label, digits) in _TABLE.items())
    return _table(["", *columns], rows)


def _differences(found: Assessment) -> list[str]:
    if not 0 < found.churned < found.rows:
        return ["With one outcome only there is nothing to tell models apart by."] if found.versus else []
    return [
        f"Against the {name}: "
        + "; ".join(
            difference(*what, differences[metric], found.level)
            for metric, what in {
                "log_loss": ("log loss", 4, False),
                "roc_auc": ("ROC AUC", 3, True),
                "profit": ("profit", 0, True),
            }.items()
        )
        + "."
        for name, differences in found.versus.items()
    ]


def _decisions(found: Assessment) -> list[str]:
    economics, cells = found.economics, found.confusion
    contacts = cells["tp"] + cells["fp"]
    ours = "" if abs(found.threshold - economics.threshold) < 5e-4 else (
        f" By the figures of the business alone it would be {economics.threshold:.3f}."
    )  # fmt: skip
    found_by = {m: interval(found.metrics[m], 3) for m in _AT_THRESHOLD}
    if not contacts:
        found_by["precision"] = "– (nobody is contacted)"
    rates = ", ".join(f"{label} {found_by[m]}" for m, label in _AT_THRESHOLD.items())
    return [
        f"Customers are contacted from a probability of {found.threshold:.3f} on.{ours} Assumed: a contact costs "
        f"{number(economics.contact_cost, 2)}, a customer who stays is worth {number(economics.retained_value, 2)}, "
        f"and a contact keeps {percent(economics.contact_success)} of those who would have left.",
        _table(
            ["", "left alone", "contacted"],
            [["stayed", f"{cells['tn']:,}", f"{cells['fp']:,}"], ["churned", f"{cells['fn']:,}", f"{cells['tp']:,}"]],
        ),
        f"At this threshold: {rates}. Profit on the hold-out, against contacting nobody: "
        f"{interval(found.metrics['profit'], 0)}.",
    ]


def _segments(found: Assessment) -> list[str]:
    heads = ["", "rows", "churned", "predicted", "observed", "ROC AUC", "log loss", "ECE", "profit"]
    tables = []
    for kind, parts in found.segments.items():
        tables += [f"### By {kind}", _table(heads, ([name, *_segment(part)] for name, part in parts.items()))]
    return tables


def _segment(part: SegmentAssessment) -> list[str]:
    return [
        f"{part.rows:,}", f"{part.churned:,}", percent(part.mean_probability), percent(part.observed_rate),
        interval(part.roc_auc, 3), interval(part.log_loss, 4), interval(part.ece, 3), interval(part.profit, 0),
    ]  # fmt: skip


def _largest(importance: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(importance.items(), key=lambda item: (-item[1], item[0]))[:_IMPORTANT]


def _figures(name: str, found: Assessment, importance: Mapping[str, float]) -> str:
    both = 0 < found.churned < found.rows
    return " · ".join(
        f"[{label}](figures/{name}/{file}.png)"
        for file, label in _FIGURES.items()
        if (both or file not in _CURVES) and (importance or file != "importance")
    )


def _cautions(assessments: Mapping[str, Assessment], canaries: Sequence[str]) -> list[str]:
    several = len(assessments) > 1
    found = [
        (f"“{name}”: " if several else "") + sentence
        for name, assessment in assessments.items()
        for sentence in warnings_of(assessment)
    ]
    checks = [f"Canary, {finding}" for finding in canaries]
    general = (
        "Intervals say how much another draw of customers would change the figures. They say nothing about a future "
        "in which customers, prices or the product differ from the hold-out's."
    )
    return [*checks, *found, general]


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; numbers stand to the right."""
    lines = [heads, ["---", *["---:" if len(heads) > 2 else "---"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")
