"""The page that shows a challenger beside the champion: the decision, what it rests on, and nothing from outside."""

from collections.abc import Iterator, Mapping
from typing import Any

from churn.core.criteria import Cells, cells
from churn.core.decision_text import criteria_of, judged_segments, sample_of, verdict_of
from churn.core.model_words import percent
from churn.io.gate_charts import Forest, calibration, forest
from churn.io.page import render

Report = Mapping[str, Any]


def gate_html(report: Report, *, name: str) -> str:
    """The decision on file (``asdict`` of the comparison's report) as one self-contained HTML page."""
    evidence = report["evidence"]
    main = list(evidence.get("criteria", {}).values())
    page = render(
        "gate.html",
        name=name,
        title=f"{name}: {verdict_of(report)}",
        verdict=verdict_of(report),
        promote=report["promote"],
        challenger=report["challenger"],
        champion=report["champion"],
        sample=sample_of(evidence),
        said=_said(report),
        rows=[cells(c) for c in criteria_of(evidence)],
        losses=_losses(evidence),
        others=forest(((c["label"], _moved(c), c) for c in main if c["margin"]), in_margins=True),
        segments=list(_segments(evidence)),
        calibration=calibration(evidence["calibration"]) if "calibration" in evidence else None,
        behaviour=evidence.get("behaviour", {}),
        live=evidence.get("live"),
        policy=_policy(evidence),
        evidence_sha256=report["evidence_sha256"],
    )
    return page.replace(" %", "\N{NO-BREAK SPACE}%")


def _said(report: Report) -> list[str]:
    """What the tables below do not say: what speaks against the challenger, or the one reason there is."""
    evidence = report["evidence"]
    met = {c["reason"] for c in (*criteria_of(evidence), *judged_segments(evidence)) if c["passed"]}
    return [reason for reason in report["reasons"] if reason not in met]


def _losses(evidence: Mapping[str, Any]) -> Forest | None:
    """Every log loss on one scale, as a share of the champion's."""
    found = [*(c for c in criteria_of(evidence) if c["name"] == "log_loss"), *judged_segments(evidence)]
    return forest((_whose(c["label"]), _share(c), c) for c in found)


def _whose(label: str) -> str:
    """As in "plan “free”", where the title says already that it is the log loss."""
    return label.removeprefix("log loss").removeprefix(" of the").removeprefix(" on").removeprefix(" in").strip() or (
        "all customers"
    )


def _moved(criterion: Mapping[str, Any]) -> str:
    return cells(criterion).difference.split(" (")[0]


def _share(criterion: Mapping[str, Any]) -> str:
    change = criterion["difference"]["value"] / (1.0 if criterion["share"] else criterion["champion"])
    return f"{percent(abs(change))} {'higher' if change > 0 else 'lower'}"


def _segments(evidence: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any], Cells | None]]:
    """Kind, name, what is known of it, and its figures where it was judged."""
    for kind, found in evidence.get("segments", {}).items():
        for name, segment in found.items():
            yield kind, name, segment, cells(segment) if segment["judged"] else None


def _policy(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for, flat."""
    policy = dict(evidence.get("policy", {}))
    return {**policy, **policy.pop("economics")} if policy else {}
