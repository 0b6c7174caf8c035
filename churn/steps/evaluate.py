"""Evaluate: the reference write-up's protocol and the honest one on the log at hand. Nothing is registered."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn.core.baselines import BASE_RATE
from churn.core.honest_protocol import HonestResult, check_holdout, honest_result
from churn.core.labels import PanelPlan
from churn.core.model import FULL
from churn.core.oracle import OracleResult, compare_with_oracle, true_probability
from churn.core.protocol_text import report_text
from churn.core.protocol_words import explain_difference, explain_honest, explain_oracle, explain_reference
from churn.core.reference_protocol import ReferenceResult, reference_protocol
from churn.errors import BadInput
from churn.io.contracts import contract_of
from churn.io.engines.chosen import engine_of
from churn.io.lake import Lake, write_json, write_text
from churn.io.point_in_time import everyone_at, panel_at
from churn.io.truth import true_hazards
from churn.settings import Settings
from churn.steps.build_panel import planned
from churn.steps.fit import fit_panel, split
from churn.steps.land_demo import DEMO_TRUTH

Protocol = Literal["both", "reference", "honest"]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class EvaluationReport:
    """What each protocol that was asked for says, what that means in words, and where it is kept."""

    as_of: str
    protocol: str
    words: tuple[str, ...]
    reference: ReferenceResult | None
    honest: HonestResult | None
    oracle: OracleResult | None
    json_path: str
    text_path: str


@dataclass(frozen=True)
class _Prepared:
    """The panel, its plan, and where the truth is asked for the hazard of each row of the hold-out."""

    plan: PanelPlan
    panel: pd.DataFrame
    hazard: NDArray[np.float64] | None


def evaluate(
    settings: Settings,
    as_of: date,
    *,
    protocol: Protocol = "both",
    oracle: bool = False,
    truth: Path | None = None,
    progress: Progress = lambda _: None,
) -> EvaluationReport:
    """Measure by ``protocol`` as of then, or as of the end of the log before it; nothing is registered.

    Writes ``reports/evaluation/as_of=<date>/<protocol>.json`` and ``.md``. ``oracle`` also compares with the true
    hazards of a generated log: ``truth``, or the demo's own. Raises BadInput when the log is too short or too few left,
    NotReady without events or without a truth.
    """
    lake = Lake(settings.data_home)
    cut_off = lake.known_until(as_of)
    lake.event_files(before=cut_off)  # says what is missing when there is nothing
    if oracle and protocol == "reference":
        raise BadInput("the oracle is compared on the honest protocol's hold-out: use --protocol honest or both")
    hazards = (truth or settings.data_home / DEMO_TRUTH) if oracle else None
    if protocol != "honest":
        _refuse_lapse(settings)
    prepared = _prepare(settings, lake, cut_off, hazards) if protocol != "reference" else None
    reference = _reference(settings, lake, cut_off, progress) if protocol != "honest" else None
    honest, known = _honest(settings, prepared, progress) if prepared else (None, None)
    folder = lake.reports / "evaluation" / f"as_of={cut_off}"
    name = f"{protocol}_oracle" if oracle else protocol
    report = EvaluationReport(
        as_of=str(cut_off),
        protocol=protocol,
        words=_words(reference, honest, known),
        reference=reference,
        honest=honest,
        oracle=known,
        json_path=str(folder / f"{name}.json"),
        text_path=str(folder / f"{name}.md"),
    )
    write_json(Path(report.json_path), asdict(report))
    write_text(Path(report.text_path), text_of(report))
    return report


def text_of(report: EvaluationReport) -> str:
    """The report for people, as Markdown that reads well in a terminal too."""
    return report_text(report.as_of, report.words, report.reference, report.honest, report.oracle)


def _reference(settings: Settings, lake: Lake, cut_off: date, progress: Progress) -> ReferenceResult:
    progress(f"reference protocol: features of everyone ever seen before {cut_off}")
    everyone = everyone_at(lake, cut_off, engine=engine_of(settings)).to_pandas()
    progress(f"reference protocol: three times five folds on {len(everyone):,} customers")
    return reference_protocol(str(cut_off), everyone, everyone["cancelled"].to_numpy(dtype=np.int64))


def _prepare(settings: Settings, lake: Lake, cut_off: date, truth: Path | None) -> _Prepared:
    """What the honest protocol needs; whatever is wrong with it is said before anything long begins."""
    plan = planned(settings, cut_off)
    contract = contract_of(settings)
    panel = panel_at(lake, plan.as_of, plan.snapshots, contract, engine=engine_of(settings)).to_pandas()
    _, holdout = split(panel)
    check_holdout(holdout)
    hazard = None if truth is None else true_hazards(truth, holdout["customer_id"], plan.holdout)
    return _Prepared(plan, panel, hazard)


def _honest(settings: Settings, prepared: _Prepared, progress: Progress) -> tuple[HonestResult, OracleResult | None]:
    plan, (training, holdout) = prepared.plan, split(prepared.panel)
    progress(f"honest protocol: {len(plan.training)} snapshots to train on, hold-out {plan.holdout}")
    fitted = fit_panel(prepared.panel, settings, progress=progress)
    progress("honest protocol: the reference recipe on the same dates")
    honest = honest_result(
        training, holdout, fitted.assessments,
        snapshots=[str(day) for day in plan.training], horizon_days=plan.horizon_days,
    )  # fmt: skip
    if prepared.hazard is None:
        return honest, None
    known = compare_with_oracle(
        str(plan.holdout), holdout["churned"], true_probability(prepared.hazard, plan.horizon_days),
        fitted.baselines[FULL][BASE_RATE], fitted.probability, customers=holdout["customer_id"].to_numpy(),
    )  # fmt: skip
    return honest, known


def _refuse_lapse(settings: Settings) -> None:
    if contract_of(settings).churn == "lapse":
        raise BadInput(
            f"the reference protocol's label is “ever cancelled”, and the contract {settings.contract} knows no "
            "cancellation: use --protocol honest"
        )


def _words(
    reference: ReferenceResult | None, honest: HonestResult | None, oracle: OracleResult | None
) -> tuple[str, ...]:
    words: list[str] = []
    if reference:
        words += explain_reference(reference)
    if reference and honest:
        words += explain_difference(reference, honest)
    if honest:
        words += explain_honest(honest)
    if honest and oracle:
        words += explain_oracle(oracle, honest.horizon_days)
    return tuple(words)
