"""Compare: the challenger at Staging against the champion in production, and the decision written down."""

import shutil
import tempfile
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from churn.core.decision_text import summary_of
from churn.core.evidence import evidence_hash
from churn.core.promotion import Decision
from churn.errors import NotReady
from churn.io.gate_report import gate_html
from churn.io.lake import Lake, write_json, write_text
from churn.io.ledger import Ledger
from churn.io.registry import ModelVersion, Registry
from churn.settings import Settings
from churn.steps.gate import GATE, judge


@dataclass(frozen=True)
class CompareReport:
    """Whether the challenger may replace the champion, and why."""

    challenger: str | None
    champion: str | None
    promote: bool
    reasons: tuple[str, ...]
    evidence: dict[str, Any]
    evidence_sha256: str = ""
    """Of all the above: what is approved and what is promoted have to be the same."""
    summary: str = ""
    """For whoever approves it, in Markdown."""
    report: str | None = None
    """Path of the page that shows both side by side."""


def compare(settings: Settings, version: str | None = None) -> CompareReport:
    """Decide about a version (default: the one at Staging) and write the decision down; nothing is moved.

    Writes a page for people, which the version's run in MLflow gets as well, a row of the ledger, and last of all the
    decision that `churn promote` reads. The same comparison again gives the same decision, to the letter.
    Raises NotReady when there is no model at all, BadInput for a version that does not exist.
    """
    registry = Registry(settings)
    champion, challenger = registry.production(), registry.version(version) if version else registry.staging()
    serving = champion.version if champion else None
    if challenger is None:
        if champion is None:
            raise NotReady("there is no model to compare: run `churn train` (or the DAG retrain_model) first")
        return _report(None, serving, _no("no model waits at stage Staging: there is nothing to compare"))
    if challenger.version == serving:
        return _report(serving, serving, _no(f"version {serving} is in production already"))
    report = _report(challenger.version, serving, judge(settings, champion, challenger))
    return _written(settings, registry, challenger, report)


def text_of(report: CompareReport) -> str:
    """The decision for people, and where the rest of the evidence is."""
    return report.summary + (f"\n\nThe whole evidence: {report.report}" if report.report else "")


def decision_path(lake: Lake, challenger: str) -> Path:
    """Where the decision about a challenger is kept."""
    return lake.reports / "decisions" / f"version={challenger}.json"


def gate_key(challenger: str, evidence_sha256: str) -> str:
    """Under which the ledger has the row of a decision: `churn promote` believes no file without it."""
    return f"gate-{challenger}-{evidence_sha256}"


def _no(reason: str) -> Decision:
    return Decision(False, (reason,), {})


def _report(challenger: str | None, champion: str | None, decision: Decision) -> CompareReport:
    report = CompareReport(challenger, champion, decision.promote, decision.reasons, dict(decision.evidence))
    report = replace(report, evidence_sha256=evidence_hash(asdict(report)))
    return replace(report, summary=summary_of(asdict(report)))


def _written(settings: Settings, registry: Registry, challenger: ModelVersion, report: CompareReport) -> CompareReport:
    """The decision comes last: where it is, all the rest is. Killed before, the next comparison writes it all again."""
    path = decision_path(Lake(settings.data_home), challenger.version)
    page = path.with_suffix(".html")
    report = replace(report, report=str(page))
    write_text(page, gate_html(asdict(report), name=settings.registered_model))
    with tempfile.TemporaryDirectory(prefix="churn-decision-") as folder:
        shutil.copy(page, Path(folder) / "decision.html")
        write_json(Path(folder) / "decision.json", asdict(report))
        registry.attach(challenger, Path(folder), "decision")
    answer = "yes" if report.promote else "no"
    with closing(Ledger(settings.score_database)) as ledger:
        ledger.append(
            "gate",
            key=gate_key(challenger.version, report.evidence_sha256),
            who=GATE,
            why=f"{answer}: {'; '.join(report.reasons)}",
            version=report.challenger,
            from_version=report.champion,
            evidence_sha256=report.evidence_sha256,
        )
    write_json(path, asdict(report))
    return report
