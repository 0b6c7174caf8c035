"""The evaluation as Markdown whose tables are aligned, so that a terminal shows them as well."""

from collections.abc import Mapping, Sequence

from churn.core.honest_protocol import HonestResult
from churn.core.model_words import interval
from churn.core.oracle import OracleResult
from churn.core.protocol_words import numbered
from churn.core.reference_protocol import ReferenceResult
from churn.core.resampling import Estimate

_TABLE = {
    "accuracy": "Accuracy", "precision": "Precision", "recall": "Recall", "f1_score": "F1-Score",
    "roc_auc": "ROC AUC", "precision_recall_auc": "PR AUC",
}  # fmt: skip
"""The write-up's rows, in its order."""
_BESIDE = {"log_loss": "Log loss", "brier": "Brier", "lift_at_10": "Lift at 10 %"}


def report_text(
    as_of: str,
    words: Sequence[str],
    reference: ReferenceResult | None,
    honest: HonestResult | None,
    oracle: OracleResult | None,
) -> str:
    """What was found in words, then the tables it follows from."""
    parts = [f"# Evaluation as of {as_of}", numbered(words), "## Figures", _figures(reference, honest)]
    if reference and honest:
        parts.append("All but ROC AUC also depend on how many churned: across protocols, compare ROC AUC only.")
    if reference:
        parts += ["## Confusion matrix of the reference protocol", _confusion(reference.confusion)]
        parts += ["## What single features tell in the reference protocol", _singles(reference)]
    if honest:
        parts += ["## Honest protocol, next to the baselines", _baselines(honest)]
    if oracle:
        parts += ["## Next to the oracle", _oracle(oracle)]
    return "\n\n".join(parts) + "\n"


def _figures(reference: ReferenceResult | None, honest: HonestResult | None) -> str:
    heads, figures, about = ["Metric"], list[Mapping[str, Estimate]](), list[list[str]]()
    if reference:
        heads.append("reference protocol")
        figures.append(reference.metrics)
        about.append(_population(reference.customers, reference.churned, reference.threshold))
    if honest:
        columns = {"reference recipe, honest": honest.recipe, **honest.models}
        heads += [name if name == "reference recipe, honest" else f"{name} model, honest" for name in columns]
        figures += [measured.metrics for measured in columns.values()]
        about += [_population(honest.customers, honest.churned, m.threshold) for m in columns.values()]
    shown = _TABLE if honest is None else _TABLE | _BESIDE
    rows = [[label, *(interval(of[name]) for of in figures)] for name, label in shown.items()]
    names = ("Customers", "of whom churned", "Threshold")
    return _table(heads, [*([label, *values] for label, values in zip(names, zip(*about))), *rows])


def _population(customers: int, churned: int, threshold: float) -> list[str]:
    return [f"{customers:,}", f"{churned:,} ({churned / customers:.1%})", f"{threshold:.2f}"]


def _confusion(found: Mapping[str, int]) -> str:
    """As the write-up lays it out."""
    tn, fp, fn, tp = (found[k] for k in ("tn", "fp", "fn", "tp"))
    return (
        "```\n                Predicted\nActual    No Churn  Churn\n"
        f"No Churn  {tn:>5,}  {fp:>5,}     (TN: {tn}, FP: {fp})\n"
        f"Churn     {fn:>5,}  {tp:>5,}     (FN: {fn}, TP: {tp})\n```"
    )


def _singles(found: ReferenceResult) -> str:
    rows = [
        [s.name, f"{s.roc_auc:.3f}", "more" if s.more_is_churn else "less",
         _short(s.median_cancelled), _short(s.median_others)]
        for s in found.singles
    ]  # fmt: skip
    return _table(["Feature", "ROC AUC alone", "cancelled have", "median, cancelled", "median, others"], rows)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _baselines(found: HonestResult) -> str:
    everyone = {
        **found.baselines,
        "reference recipe": found.recipe.metrics,
        **{f"{name} model": m.metrics for name, m in found.models.items()},
    }
    rows = [[name, interval(of["roc_auc"]), interval(of["log_loss"], 4)] for name, of in everyone.items()]
    return _table(["Model", "ROC AUC", "Log loss"], rows)


def _oracle(found: OracleResult) -> str:
    rows = [
        ["base rate", "0.500", interval(found.base_log_loss, 4), "", ""],
        *(
            [f"{name} model", interval(r.roc_auc), interval(r.log_loss, 4),
             interval(r.roc_auc_closed, 2), interval(r.log_loss_closed, 2)]
            for name, r in found.models.items()
        ),
        ["oracle", interval(found.roc_auc), interval(found.log_loss, 4), "1.00", "1.00"],
    ]  # fmt: skip
    heads = ["Model", "ROC AUC", "Log loss", "share of the oracle's ROC AUC lead", "of its log-loss lead"]
    return _table(heads, rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first to the left, numbers to the right."""
    width = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(cells, width)))
        return f"| {' | '.join((first, *others))} |"

    rule = f"|{'-' * (width[0] + 2)}|" + "".join(f"{'-' * (w + 1)}:|" for w in width[1:])
    return "\n".join([line(heads), rule, *map(line, rows)])
