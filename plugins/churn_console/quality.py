"""Data quality: what Great Expectations said of what came in on a day, and of the night's features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from churn.io.kept_reports import KeptReports
from churn.io.validation import Finding, Validation
from churn_console.reading import understood


@dataclass(frozen=True)
class Ingestion:
    """What came in at once."""

    at: str
    files: int
    read: int
    accepted: int
    set_aside: int
    quarantined: int
    broken_rules: Mapping[str, int]
    rejected: tuple[str, ...]
    validation: Validation | None


@dataclass(frozen=True)
class NightQuality:
    """What is known of a night's data."""

    ingestions: tuple[Ingestion, ...]
    features: Validation | None

    @property
    def suites(self) -> list[Validation]:
        found = [i.validation for i in self.ingestions] + [self.features]
        return [s for s in found if s is not None]

    @property
    def expectations(self) -> int:
        return sum(len(s.findings) for s in self.suites)

    @property
    def failed(self) -> list[Finding]:
        return [f for s in self.suites for f in s.failures]

    @property
    def rejected(self) -> int:
        return sum(len(i.rejected) for i in self.ingestions)

    @property
    def read(self) -> int:
        return sum(i.read for i in self.ingestions)

    @property
    def quarantined(self) -> int:
        return sum(i.quarantined for i in self.ingestions)

    @property
    def good(self) -> bool:
        return not self.rejected and all(s.success for s in self.suites)


def quality_of(kept: KeptReports, day: date) -> NightQuality | None:
    """None where nothing came in that day and no features were checked. Raises Unavailable, ContractViolation."""
    with understood(f"the validation of {day}"):
        ingestions = tuple(_ingestion(one) for one in kept.ingestions(day))
        features = _suite(kept.features_validation(day))
    return NightQuality(ingestions, features) if ingestions or features else None


def _ingestion(said: Mapping[str, Any]) -> Ingestion:
    counts = {name: int(said[name]) for name in ("files", "read", "accepted", "set_aside", "quarantined")}
    return Ingestion(
        at=str(said["at"]),
        **counts,
        broken_rules=dict(said["broken_rules"]),
        rejected=tuple(said["rejected"]),
        validation=_suite(said["validation"]),
    )


def _suite(said: Mapping[str, Any] | None) -> Validation | None:
    if said is None:
        return None
    findings: Sequence[Mapping[str, Any]] = said["findings"]
    return Validation(
        str(said["suite"]), bool(said["success"]), int(said["rows"]), tuple(Finding(**f) for f in findings)
    )
