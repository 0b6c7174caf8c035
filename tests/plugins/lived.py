"""A platform that has lived through nights: the library's own stores, filled by its own calls with invented figures."""

import math
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np

from churn.core.criteria import better, not_worse
from churn.core.evidence import evidence_hash
from churn.core.features import FEATURES
from churn.core.gate_figures import ECE, LOG_LOSS, PROFIT, ROC_AUC
from churn.core.paired import Paired
from churn.core.resampling import Estimate
from churn.io.checks import Checks
from churn.io.kept_reports import KeptReports, with_ingestion
from churn.io.lake import Lake, write_json, write_text
from churn.io.ledger import Ledger
from churn.io.scorebook import ScoreBook
from churn.io.validation import Finding, Validation
from churn.settings import Settings
from churn.steps.compare import decision_path, gate_key

LAST = date(2026, 3, 30)
DAY = timedelta(days=1)


def live(settings: Settings, nights: int = 30, last: date = LAST, customers: int = 40) -> None:
    """``nights`` nights up to ``last``: some alarms, a night without scores, a night whose features were not fit."""
    rng = np.random.default_rng(7)
    days = [last - DAY * k for k in reversed(range(nights))]
    gap, unfit, drifting = days[len(days) // 3], days[len(days) // 2], set(days[-4:])
    promoted(settings, days)
    with closing(ScoreBook(settings.score_database)) as book, closing(Checks(settings.score_database)) as checks:
        for number, day in enumerate(days):
            validated(settings, day, fit=day != unfit, rng=rng)
            if day in (gap, unfit):
                continue
            p = np.clip(rng.beta(1.2, 14, customers), 0, 1)
            book.publish(
                day, "3" if number >= nights // 2 else "2", [f"c{i}" for i in range(customers)], p,
                (p > 0.3).astype(np.int64), threshold=0.3,
            )  # fmt: skip
            version = "3" if number >= nights // 2 else "2"
            features = drift_of(rng, number / nights, day in drifting)
            drifted = [name for name, f in features.items() if f["drifted"]]
            said = f"drift: {len(drifted)} of 64 columns moved: {', '.join(drifted)}" if drifted else "no drift"
            detail = {"compared": True, "drifted": drifted, "features": features, "nights": len(drifted)}
            checks.record(day, "drift", version, alarm=bool(drifted), summary=said, detail=detail)
            detail = performance_of(rng, day, number, nights)
            bad = number >= nights - 2
            said = (
                "degraded: ROC AUC 0.640 (0.620 to 0.660)" if bad else "no degradation: ROC AUC 0.741 (0.714 to 0.766)"
            )
            checks.record(day, "performance", version, alarm=bad, summary=said, detail=detail)
            checks.record(
                day,
                "early_warning",
                version,
                alarm=number == nights - 5,
                summary="paid: more cancel" if number == nights - 5 else "no early warning",
                detail={"nights": []},
            )
            monitored(settings, day)
            write_text(settings.data_home / f"reports/drift/as_of={day}/drift.html", f"<h1>Drift of {day}</h1>")


def promoted(settings: Settings, days: list[date]) -> None:
    """Three versions, one after the other; the last challenger was refused."""
    with closing(Ledger(settings.score_database)) as ledger:
        for number, version in enumerate("123"):
            before = str(number) if number else None
            moment = datetime.combine(days[0] + DAY * number * (len(days) // 3), time(3, 4), UTC)
            sha = decision(settings, version, before, yes=True)
            key = gate_key(version, sha)
            why = "yes: log loss 0.1650 against 0.1702: 3.1 % lower (1.2 % to 5.0 %), and nothing else is worse"
            ledger.append(
                "gate", key=key, who="the gate", why=why, version=version, from_version=before, evidence_sha256=sha,
                decided_at=moment,
            )  # fmt: skip
            who = "op" if number == 2 else "the gate"
            if number == 2:
                ledger.append(
                    "approval", key=f"approval:{version}", who=who, why="approved: looks right", version=version,
                    from_version=before, to_version=version, evidence_sha256=sha, decided_at=moment,
                )  # fmt: skip
            ledger.append(
                "promotion", key=f"promotion {version}", who=who, why=why.removeprefix("yes: "), version=version,
                from_version=before, to_version=version, evidence_sha256=sha, decided_at=moment,
            )  # fmt: skip
        sha = decision(settings, "4", "3", yes=False)
        ledger.append(
            "gate", key=gate_key("4", sha), who="the gate", version="4", from_version="3", evidence_sha256=sha,
            why="no: log loss has not been shown to be lower", decided_at=datetime.combine(days[-1], time(3, 4), UTC),
        )  # fmt: skip


def decision(settings: Settings, challenger: str, champion: str | None, *, yes: bool) -> str:
    """The comparison on file, with criteria as the gate makes them; its hash."""
    shift = 0.004 if yes else 0.0
    found = [
        better(LOG_LOSS, Paired(0.1702, 0.1702 - shift, Estimate(-shift, -shift - 0.003, -shift + 0.003)), 0.0, 0.95),
        not_worse(PROFIT, Paired(1.32, 1.41, Estimate(0.09, -0.05, 0.23)), 0.2, 0.95),
        not_worse(ROC_AUC, Paired(0.744, 0.751, Estimate(0.007, -0.006, 0.02)), 0.01, 0.95),
        not_worse(ECE, Paired(0.004, 0.005, Estimate(0.001, -0.002, 0.004)), 0.01, 0.95),
    ]
    said: dict[str, Any] = {
        "challenger": challenger,
        "champion": champion,
        "promote": yes,
        "reasons": [found[0].reason],
        "evidence": {"customers": 17772, "churned": 733, "criteria": {c.name: asdict(c) for c in found}},
    }
    said["evidence_sha256"] = evidence_hash(said)
    path = decision_path(Lake(settings.data_home), challenger)
    write_json(path, said)
    write_text(path.with_suffix(".html"), f"<style>h1 {{ color: red }}</style><h1>Version {challenger}</h1>")
    return str(said["evidence_sha256"])


def validated(settings: Settings, day: date, *, fit: bool, rng: np.random.Generator) -> None:
    """What `ingest` and `validate_features` keep."""
    kept = KeptReports.of(settings.data_home)
    rows = int(rng.integers(30_000, 40_000))
    bad = int(rng.integers(0, 30))
    rules = ("userId is given", "ts is readable", "page is known to the contract", "level is known to the contract")
    findings = tuple(
        Finding(rule, "expect_column_values_to_not_be_null", True, rows, bad if "page" in rule else 0) for rule in rules
    )
    ingestion = {
        "key": str(day), "at": f"{day}T01:00:09+00:00", "files": 1, "read": rows, "accepted": rows - 900 - bad,
        "set_aside": 900, "quarantined": bad, "broken_rules": {rules[2]: bad} if bad else {}, "rejected": [],
        "validation": asdict(Validation("events", True, rows, findings)),
    }  # fmt: skip
    write_json(kept.ingestions_path(day), {"ingestions": with_ingestion([], ingestion)})
    every = tuple(
        Finding(
            f"{f.name} is between {f.minimum:g} and {f.maximum:g}", "expect_column_values_to_be_between", True, 17772, 0
        )
        for f in FEATURES
    )
    if not fit:
        every = (Finding(every[0].rule, every[0].expectation, False, 17772, 312), *every[1:])
    found = Validation("features", fit, 17772, every)
    write_json(settings.data_home / f"reports/features_validation/as_of={day}.json", asdict(found))


def drift_of(rng: np.random.Generator, age: float, drifting: bool) -> dict[str, dict[str, Any]]:
    found = {}
    for number, f in enumerate(FEATURES):
        ks = float(abs(rng.normal(0, 0.012)) + 0.05 * age * (number % 5 == 0))
        moved = drifting and number in (3, 11, 12)
        ks += 0.14 * moved * (1 + number / 12)
        found[f.name] = {
            "ks": round(ks, 4), "psi": round(ks**2 * 3, 4), "js": None, "q": 1e-9 if moved else 0.4, "missing": 0.0,
            "drifted": moved,
        }  # fmt: skip
    return found


def performance_of(rng: np.random.Generator, day: date, number: int, nights: int) -> dict[str, Any]:
    """Outcomes are known from the twelfth night on."""
    expected = {"rows": 17_500, "churned": 712.0 + 3 * number, "roc_auc": 0.745, "log_loss": 0.16, "brier": 0.04}
    if number < min(12, nights // 3):
        return {"expected": expected, "realised": None, "limit": None, "judged": False}
    auc = 0.745 + 0.008 * math.sin(number) - 0.08 * (number >= nights - 2)
    realised: dict[str, Any] = {
        "first_night": str(day - 20 * DAY), "last_night": str(day - 14 * DAY), "nights": 7, "rows": 17_772,
        "customers": 17_772, "churned": 733 + int(rng.integers(-40, 40)), "churned_customers": 760,
        "expected_churned": 720.0 + number,
    }  # fmt: skip
    for name, value, half in (
        ("roc_auc", auc, 0.02), ("log_loss", 0.16, 0.005), ("brier", 0.041, 0.002), ("precision", 0.4, 0.1),
        ("recall", 0.06, 0.02), ("ece", 0.006, 0.003), ("lift_at_10", 3.1, 0.3), ("profit", 1.1, 0.4),
    ):  # fmt: skip
        value += float(rng.normal(0, half / 3))
        realised |= {name: value, f"{name}_low": value - half, f"{name}_high": value + half}
        if name not in ("ece", "lift_at_10"):
            realised[f"expected_{name}"] = value + half / 4
    return {"expected": expected, "realised": realised, "limit": 0.7, "judged": True}


def monitored(settings: Settings, day: date) -> None:
    bins = [
        {"predicted": p, "observed": p * (1 + 0.2 * math.sin(9 * p)), "low": p * 0.7, "high": p * 1.4}
        for p in (0.004, 0.008, 0.012, 0.018, 0.025, 0.033, 0.045, 0.06, 0.09, 0.17)
    ]
    write_json(
        settings.data_home / f"reports/monitoring/as_of={day}/monitor.json", {"assessment": {"calibration": bins}}
    )
    write_text(settings.data_home / f"reports/monitoring/as_of={day}/monitor.html", f"<h1>Monitoring of {day}</h1>")
