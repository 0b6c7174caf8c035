"""Steps killed in their middle, at several moments, and run again: the end is as if nothing had happened.

The steps run as users run them: processes of the command line, ended by SIGKILL, which nothing can catch.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from churn.io.registry import Registry
from churn.settings import Settings
from churn.steps.simulate import simulate
from tests.raw_log import raw_row, write_json_lines

START, DAYS, AS_OF = date(2026, 1, 1), 70, "2026-03-12"


@dataclass(frozen=True)
class Home:
    """A data home and the commands that work on it."""

    path: Path
    log: Path

    def start(self, step: str, *arguments: str) -> "subprocess.Popen[bytes]":
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("CHURN_", "MLFLOW_TRACKING_URI"))}
        with self.said(step).open("wb") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "churn.cli", step, *arguments],
                env={**environment, "CHURN_HOME": str(self.path), "CHURN_DEMO": "false", "CHURN_SEARCH_TRIALS": "0"},
                stdout=said,
                stderr=said,
            )

    def said(self, step: str) -> Path:
        """What the last run of a step printed, beside the home."""
        return self.path.with_name(f"{self.path.name}-{step}.txt")

    def arguments(self, step: str) -> list[str]:
        return [str(self.log)] if step == "ingest" else ["--as-of", AS_OF]

    def run(self, step: str) -> None:
        code = self.start(step, *self.arguments(step)).wait(120)
        assert code == 0, self.said(step).read_text()

    def kill(self, step: str, moment: Callable[["Home"], bool]) -> bool:
        """Start a step and kill it at a moment. False when it had ended before that could be seen."""
        process = self.start(step, *self.arguments(step))
        while process.poll() is None and not moment(self):
            time.sleep(0.003)
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) in (0, -signal.SIGKILL), self.said(step).read_text()
        return process.returncode != 0

    def files(self, pattern: str) -> list[Path]:
        return sorted(self.path.glob(pattern))

    def rows(self, database: str, query: str) -> list[tuple[Any, ...]]:
        """What a SQLite file under the home answers; nothing while it is not there or not ready."""
        try:
            with closing(sqlite3.connect(f"file:{self.path / database}?mode=ro", uri=True)) as db:
                return list(db.execute(query))
        except sqlite3.OperationalError:
            return []

    def mlflow(self, query: str) -> list[tuple[Any, ...]]:
        return self.rows("mlflow/mlflow.db", query)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated log, and a file of which some rows break the contract."""
    folder = tmp_path_factory.mktemp("log")
    simulate(folder, customers=150, days=DAYS, seed=7, start=START)
    at = 1_767_268_800_000  # in January 2026
    odd = [raw_row(i, ts=at + i, page="Teleport" if i < 3 else "Home", userId="odd") for i in range(20)]
    write_json_lines(folder / "odd.json", odd)
    return folder


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory, log: Path, empty_mlflow: Path) -> tuple[Home, Home]:
    """Two homes that know nothing but MLflow's empty tables: one to leave in peace, one to disturb."""
    folder = tmp_path_factory.mktemp("homes")
    found = []
    for name in ("undisturbed", "disturbed"):
        (folder / name / "mlflow").mkdir(parents=True)
        shutil.copy(empty_mlflow, folder / name / "mlflow" / "mlflow.db")
        found.append(Home(folder / name, log))
    return found[0], found[1]


def no_temporary_file(home: Home) -> bool:
    return not [p for p in home.path.rglob("*") if p.suffix == ".part" or p.name.endswith(("-journal", ".tmp"))]


def same_bytes(pattern: str, homes: tuple[Home, Home]) -> bool:
    """Whether both homes hold the same files with the same content, and at least one."""
    first, second = ({str(p.relative_to(h.path)): p.read_bytes() for p in h.files(pattern)} for h in homes)
    return first == second != {}


def events(home: Home) -> Iterator[tuple[str, Any]]:
    """Every partition but for the time its events came in."""
    for path in home.files("events/date=*/*.parquet"):
        yield path.parent.name, pq.ParquetFile(path).read().drop_columns("ingested_ms")


def decisions(home: Home) -> dict[str, Any]:
    """Every decision but for the path of its page, which names the home."""
    found = {p.name: json.loads(p.read_text()) for p in home.files("reports/decisions/*.json")}
    return {name: {k: v for k, v in decision.items() if k != "report"} for name, decision in found.items()}


@pytest.mark.slow
def test_ingest_train_and_score_end_as_if_they_had_not_been_killed(homes: tuple[Home, Home]) -> None:
    undisturbed, home = homes
    _ingest_killed_and_run_again_gives_the_same_events(undisturbed, home)
    _train_killed_and_run_again_gives_one_model(undisturbed, home)
    _score_killed_and_run_again_gives_the_same_scores(undisturbed, home)


def _ingest_killed_and_run_again_gives_the_same_events(undisturbed: Home, home: Home) -> None:
    undisturbed.run("ingest")
    struck = [
        home.kill("ingest", lambda h: "(35 of " in h.said("ingest").read_text()),
        home.kill("ingest", lambda h: len(h.files("events/date=*/events.parquet")) >= 25),
        home.kill("ingest", lambda h: len(h.files("events/_receipts/*.json")) >= 10),
    ]
    assert struck[:2] == [True, True]
    assert len(home.files("events/date=*/events.parquet")) >= 25
    home.run("ingest")
    assert dict(events(home)) == dict(events(undisturbed))
    assert len(home.files("events/date=*")) == DAYS
    assert same_bytes("quarantine/*", (undisturbed, home))
    assert same_bytes("events/_receipts/*", (undisturbed, home))
    assert no_temporary_file(home)


def _train_killed_and_run_again_gives_one_model(undisturbed: Home, home: Home) -> None:
    undisturbed.run("train")
    struck = [
        home.kill("train", lambda h: bool(h.files("panels/*/*"))),
        home.kill("train", lambda h: bool(h.mlflow("select 1 from runs"))),
        home.kill("train", lambda h: bool(h.mlflow("select 1 from model_versions"))),
    ]
    assert struck[:2] == [True, True]
    home.run("train")
    for each in (undisturbed, home):
        ((version, stage, run),) = each.mlflow("select version, current_stage, run_id from model_versions")
        assert (version, stage) == (1, "Production")
        active = each.mlflow("select run_uuid, status from runs where lifecycle_stage = 'active'")
        assert active == [(run, "FINISHED")]
        assert each.mlflow("select alias, version from registered_model_aliases") == [("champion", 1)]
    assert same_bytes("panels/*/*", (undisturbed, home))
    assert decisions(home) == decisions(undisturbed) != {}
    moved = "select what, version, from_version, to_version, who, why, evidence_sha256 from decisions order by number"
    assert home.rows("scores.db", moved) == undisturbed.rows("scores.db", moved) != []
    assert no_temporary_file(home)


def _score_killed_and_run_again_gives_the_same_scores(undisturbed: Home, home: Home) -> None:
    undisturbed.run("score")
    struck = [
        home.kill("score", lambda h: bool(h.files("features/*/*"))),
        home.kill("score", lambda h: (h.path / "scores.db").exists()),
        home.kill("score", lambda h: bool(h.rows("scores.db", "select 1 from publications"))),
    ]
    assert struck[:2] == [True, True]
    home.run("score")
    scores = "select * from scores order by as_of, customer_id"
    assert home.rows("scores.db", scores) == undisturbed.rows("scores.db", scores) != []
    published = (
        "select as_of, model_version, customers, predicted_to_churn, mean_probability, threshold from publications"
    )
    assert len(home.rows("scores.db", published)) == 1
    assert home.rows("scores.db", published) == undisturbed.rows("scores.db", published)
    assert same_bytes("features/*/*", (undisturbed, home))
    assert no_temporary_file(home)


@pytest.mark.slow
def test_a_promotion_that_was_killed_between_alias_and_stage_is_completed_by_the_next_training(
    homes: tuple[Home, Home],
) -> None:
    """The state is the one that SIGKILL leaves between the two calls of `Registry._move`: the stage comes last."""
    home = homes[1]
    if not home.mlflow("select 1 from model_versions"):
        home.run("ingest")
        home.run("train")
    with closing(sqlite3.connect(home.path / "mlflow" / "mlflow.db")) as db:
        db.execute("update model_versions set current_stage = 'Staging'")
        db.commit()
    home.run("train")
    assert home.mlflow("select alias from registered_model_aliases") == [("champion",)]
    assert home.mlflow("select current_stage from model_versions") == [("Production",)]


def test_a_registry_whose_database_was_being_made_opens(settings: Settings) -> None:
    """The state is one that SIGKILL leaves: a file aside with some of the tables, and no database."""
    database = settings.data_home / "mlflow" / "mlflow.db"
    aside = database.with_name(f".{database.name}.part")
    database.replace(aside)
    with closing(sqlite3.connect(aside)) as db:
        db.execute("update alembic_version set version_num = 'a5b4c3d2e1f0'")
        db.commit()
    assert Registry(settings).production() is None
    assert database.is_file()
    assert not aside.exists()
