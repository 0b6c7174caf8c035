"""A decision on file in words: what whoever approves it reads first."""

from collections.abc import Iterator, Mapping
from typing import Any

from churn.core.criteria import cells

_MOST_REASONS = 8
"""An approver reads on in the page; here the first ones say enough."""


def verdict_of(report: Mapping[str, Any]) -> str:
    """One line: what should happen to which version."""
    challenger, champion = report["challenger"], report["champion"]
    if report["promote"]:
        return f"Promote version {challenger}" + (f" in place of version {champion}" if champion else "")
    stays = f"Keep version {champion}" if champion else "Promote nothing"
    return f"{stays}: version {challenger} has not shown that it is better" if challenger else stays


def sample_of(evidence: Mapping[str, Any]) -> str:
    """What was measured on, in a sentence; empty where nothing was."""
    if "customers" not in evidence:
        return ""
    when = f", cut-off {evidence['holdout']['holdout_snapshot']}" if "holdout" in evidence else ""
    return f"Hold-out of {evidence['customers']:,} customers{when}; {evidence['churned']:,} left."


def criteria_of(evidence: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Criteria over all customers: of the full models, of the core models, of past nights."""
    parts = (evidence, evidence.get("core", {}), evidence.get("live", {}))
    return [criterion for part in parts for criterion in part.get("criteria", {}).values()]


def judged_segments(evidence: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Criteria of the segments that were large enough to be judged."""
    return [s for kind in evidence.get("segments", {}).values() for s in kind.values() if s["judged"]]


def summary_of(report: Mapping[str, Any]) -> str:
    """Markdown for the approver, at most 40 lines: verdict, reasons, the table of figures, and the hash."""
    evidence = report["evidence"]
    lines = [f"## {verdict_of(report)}", "", *_paragraph(sample_of(evidence)), *_reasons(report)]
    if rows := criteria_of(evidence):
        lines += ["", "| | champion | challenger | difference (95 % interval) | asked | |", "|---|---|---|---|---|---|"]
        for c in map(cells, rows):
            mark = "✓" if c.passed else "✗"
            lines.append(f"| {c.label} | {c.champion} | {c.challenger} | {c.difference} | {c.asked} | {mark} |")
    lines += ["", *_rest(evidence), f"Evidence `{report['evidence_sha256']}`"]
    return "\n".join(lines)


def _paragraph(text: str) -> list[str]:
    return [text, ""] if text else []


def _reasons(report: Mapping[str, Any]) -> list[str]:
    """Where the table does not say it all: what speaks against, or the one reason there is."""
    criteria = [*criteria_of(report["evidence"]), *judged_segments(report["evidence"])]
    met = {c["reason"] for c in criteria if c["passed"]}
    said = [reason for reason in report["reasons"] if reason not in met]
    shown = [f"- {reason}" for reason in said[:_MOST_REASONS]]
    return [*shown, f"- and {len(said) - len(shown)} more, on the page"] if len(said) > len(shown) else shown


def _rest(evidence: Mapping[str, Any]) -> Iterator[str]:
    if segments := judged_segments(evidence):
        good = sum(s["passed"] for s in segments)
        yield f"Segments: {good} of {len(segments)} shown to be no worse.  "
    if checks := [check for of in evidence.get("behaviour", {}).values() for check in of]:
        yield f"Behaviour: {sum(c['passed'] for c in checks)} of {len(checks)} checks passed.  "
