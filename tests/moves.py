"""Versions to move about, and moving them: what the tests of promotions and rollbacks share."""

import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from churn.core.evidence import evidence_hash
from churn.io.lake import Lake, write_json
from churn.io.ledger import Entry, Ledger, moves
from churn.io.registry import Registry
from churn.settings import Settings
from churn.steps.compare import decision_path, gate_key
from churn.steps.gate import GATE
from churn.steps.promote import promote

TAGS = {"contract": "sparkify", "horizon_days": "14", "as_of": "2026-03-01", "holdout_snapshot": "2026-02-15"}


def settings_of(home: Path) -> Settings:
    """MLflow's own variable, which it sets for its subprocesses, would lead to the home of another test."""
    return Settings(home=home, mlflow_tracking_uri=None, _env_file=None)  # type: ignore[call-arg]


@dataclass(frozen=True)
class Registered:
    """A data home whose registry holds versions 1 to 6, none of them moved.

    Versions 1 to 4 take the columns a and b (4 was measured on a later hold-out), version 5 takes c too, version 6 has
    another horizon.
    """

    home: Path

    def copy(self, home: Path) -> Settings:
        """Settings of a home of one's own. The models stay where they are: MLflow knows their absolute paths."""
        (home / "mlflow").mkdir(parents=True)
        shutil.copy(self.home / "mlflow" / "mlflow.db", home / "mlflow" / "mlflow.db")
        return settings_of(home)


def decided(settings: Settings, challenger: str, champion: str | None, yes: bool = True) -> str:
    """Write a decision as the comparison does, on file and in the ledger; the hash of its evidence."""
    decision: dict[str, Any] = {
        "challenger": challenger,
        "champion": champion,
        "promote": yes,
        "reasons": ["log loss 3 % lower" if yes else "log loss 3 % higher"],
        "evidence": {"customers": 1000, "log_loss": [0.31, 0.3]},
    }
    sha = decision["evidence_sha256"] = evidence_hash(decision)
    why = f"{'yes' if yes else 'no'}: {decision['reasons'][0]}"
    with closing(Ledger(settings.score_database)) as ledger:
        key = gate_key(challenger, sha)
        ledger.append("gate", key=key, who=GATE, why=why, version=challenger, evidence_sha256=sha)
    write_json(decision_path(Lake(settings.data_home), challenger), decision)
    return sha


def promoted(settings: Settings, *versions: str, **given: Any) -> None:
    """One after the other, each on a decision of its own."""
    for version in versions:
        decided(settings, version, in_production(settings))
        assert promote(settings, version, **given).promoted


def in_production(settings: Settings) -> str | None:
    """Asks MLflow alone."""
    production = Registry(settings).production()
    return production.version if production else None


def rows(settings: Settings) -> list[Entry]:
    """Those of the ledger that tell of a move."""
    with closing(Ledger(settings.score_database)) as ledger:
        return moves(ledger.entries())


def story(settings: Settings) -> list[tuple[str, str | None, str | None]]:
    return [(e.what, e.from_version, e.to_version) for e in rows(settings)]


def waits(settings: Settings, version: str) -> None:
    registry = Registry(settings)
    registry.stage(registry.version(version), "tests")
