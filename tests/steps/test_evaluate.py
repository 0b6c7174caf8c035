"""Both protocols and the oracle through the step and the command, on logs whose truth is known."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from churn.cli import app
from churn.core.features import CORE_FEATURES
from churn.core.reference_protocol import CLOCKS, SILENCE
from churn.errors import BadInput, NotReady
from churn.io.lake import Lake, write_parquet
from churn.settings import Settings
from churn.steps.evaluate import EvaluationReport, evaluate, text_of
from churn.steps.ingest import ingest
from churn.steps.simulate import simulate

pytestmark = pytest.mark.slow  # one log for all, and its two protocols take half a minute

AS_OF = date(2026, 3, 1)
DAYS = 63
HORIZON = timedelta(days=14)
DAY_MS = 86_400_000


def home(path: Path) -> Settings:
    return Settings(home=path, search_trials=0, panel_snapshots=3, _env_file=None)  # type: ignore[call-arg]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A small generated log, ingested once, with its truth where the demo keeps it."""
    path = tmp_path_factory.mktemp("generated")
    simulate(path / "log", customers=400, days=DAYS, seed=5, start=AS_OF - timedelta(days=DAYS))
    ingest(home(path), [path / "log"])
    (path / "demo").mkdir()
    shutil.copy(path / "log" / "truth.parquet", path / "demo")
    yield home(path)


@pytest.fixture(scope="module")
def report(generated: Settings) -> EvaluationReport:
    return evaluate(generated, AS_OF, oracle=True)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Everybody visits alike, and each visit is the last by the same lot: nothing that anyone does tells who leaves."""
    settings = home(tmp_path_factory.mktemp("noise"))
    start, rng = AS_OF - timedelta(days=DAYS), np.random.default_rng(8)
    here = np.ones(900, dtype=bool)
    for number in range(DAYS):
        day = start + timedelta(days=number)
        visiting = np.flatnonzero(here & (rng.random(len(here)) < 0.4))
        leaving = visiting[rng.random(len(visiting)) < 0.015]
        plays = np.repeat(visiting, rng.integers(1, 6, len(visiting)))
        write_parquet(
            Lake(settings.data_home).event_partition(day),
            _events(day, start, np.concatenate([plays, leaving]), len(leaving), rng),
        )
        here[leaving] = False
    return settings


def _events(day: date, start: date, customers: np.ndarray, cancels: int, rng: np.random.Generator) -> pa.Table:
    """At random times of the day's second half, the last so many of them cancellations."""
    zero, first = (int(datetime(d.year, d.month, d.day, tzinfo=UTC).timestamp() * 1000) for d in (day, start))
    who = pd.Series(customers)
    return pa.table(
        {
            "customer_id": who.astype(str),
            "ts_ms": zero + rng.integers(DAY_MS // 2, DAY_MS, len(who)),
            "session_id": who.astype(str) + f"-{day}",
            "kind": ["play"] * (len(who) - cancels) + ["cancel"] * cancels,
            "plan": ["paid"] * len(who),
            "registered_ms": (first - DAY_MS * (1 + who % 90)).astype("int64"),
            "item_in_session": pa.array(np.arange(len(who)), pa.int32()),
            "duration_s": pa.nulls(len(who), pa.float64()),
            "ingested_ms": np.full(len(who), zero + DAY_MS),
        }
    )


def test_where_risk_is_noise_the_reference_protocol_still_reports_a_high_figure_and_the_honest_one_does_not(
    noise: Settings,
) -> None:
    found = evaluate(noise, AS_OF)
    assert found.reference is not None and found.honest is not None
    assert (found.reference.metrics["roc_auc"].low or 0) > 0.85
    assert found.reference.singles[0].name == SILENCE
    assert found.reference.ablations[-1].roc_auc < 0.7  # it was the clocks and the totals
    for measured in (*found.honest.models.values(), found.honest.recipe):
        auc = measured.metrics["roc_auc"]
        assert auc.low is not None and auc.high is not None
        assert auc.low <= 0.5 <= auc.high
    assert any("ROC AUC is not there when" in words for words in found.words)


def test_the_reference_protocol_is_the_write_ups_recipe_over_everyone_ever_seen(report: EvaluationReport) -> None:
    found = report.reference
    assert found is not None
    assert found.as_of == str(AS_OF)
    confusion = found.confusion
    assert sum(confusion.values()) == found.customers
    assert confusion["tp"] + confusion["fn"] == found.churned
    assert {s.name for s in found.singles} == {f.name for f in CORE_FEATURES}
    assert [a.features for a in found.ablations] == [11, 5]
    assert found.ablations[0].without == CLOCKS
    assert (found.metrics["roc_auc"].value or 0) > found.ablations[0].roc_auc


def test_the_honest_protocol_holds_out_a_later_date_and_stands_next_to_the_baselines(report: EvaluationReport) -> None:
    found = report.honest
    assert found is not None
    assert found.holdout == str(AS_OF - HORIZON)
    assert found.training_snapshots[-1] == str(AS_OF - 2 * HORIZON)
    assert set(found.models) == {"core", "full"}
    assert set(found.baselines) == {"base rate", "recency rule", "logistic regression"}
    assert report.reference is not None
    assert found.customers < report.reference.customers  # those who had cancelled are not at risk
    auc = found.models["full"].metrics["roc_auc"]
    assert auc.low is not None and auc.value is not None and auc.high is not None
    assert auc.low <= auc.value <= auc.high


def test_the_oracle_stands_on_the_same_hold_out(report: EvaluationReport) -> None:
    assert report.oracle is not None and report.honest is not None
    assert (report.oracle.holdout, report.oracle.customers, report.oracle.churned) == (
        report.honest.holdout, report.honest.customers, report.honest.churned,
    )  # fmt: skip
    for name, rival in report.oracle.models.items():
        assert rival.roc_auc.value == pytest.approx(report.honest.models[name].metrics["roc_auc"].value)
    assert 0 < report.oracle.mean_probability < 0.3


def test_the_report_is_kept_whole_as_json_and_as_a_text(report: EvaluationReport, generated: Settings) -> None:
    assert Path(report.json_path).parent == generated.data_home / "reports" / "evaluation" / f"as_of={AS_OF}"
    kept = json.loads(Path(report.json_path).read_text())
    assert kept["reference"]["customers"] == report.reference.customers  # type: ignore[union-attr]
    text = Path(report.text_path).read_text()
    assert text == text_of(report)
    for row in ("Accuracy", "Precision", "Recall", "F1-Score", "ROC AUC", "PR AUC", "No Churn", "oracle"):
        assert row in text
    assert not (generated.data_home / "panels").exists()  # what training keeps is not touched
    assert not (generated.data_home / "mlflow").exists()  # and nothing is registered


def test_the_command_explains_and_prints_json_last(generated: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHURN_HOME", str(generated.data_home))
    told = CliRunner().invoke(app, ["evaluate", "--protocol", "reference"])
    assert told.exit_code == 0
    assert "The reference protocol reports ROC AUC" in told.stdout
    assert "reference.md" in told.stdout.splitlines()[-1]
    asked = CliRunner().invoke(app, ["evaluate", "--protocol", "reference", "--json"])
    assert json.loads(asked.stdout.splitlines()[-1])["honest"] is None
    refused = CliRunner().invoke(app, ["evaluate", "--protocol", "reference", "--oracle"])
    assert refused.exit_code == 1
    assert "hold-out" in refused.stderr


def test_what_cannot_be_measured_is_refused_before_anything_long(generated: Settings, tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="churn ingest"):
        evaluate(home(tmp_path), AS_OF)
    with pytest.raises(BadInput, match="train as of"):
        evaluate(generated, AS_OF - timedelta(days=40))
    with pytest.raises(BadInput, match="at least 5"):
        evaluate(generated, AS_OF - timedelta(days=DAYS - 1), protocol="reference")
    with pytest.raises(NotReady, match="only a generated log has"):
        evaluate(generated, AS_OF, oracle=True, truth=tmp_path / "truth.parquet")
    with pytest.raises(NotReady, match="there are events from"):
        evaluate(generated, AS_OF - timedelta(days=DAYS))
    lapsing = generated.model_copy(update={"contract": "transactions"})
    with pytest.raises(BadInput, match="--protocol honest"):
        evaluate(lapsing, AS_OF, protocol="reference")


def test_another_logs_truth_is_no_oracle(generated: Settings, tmp_path: Path) -> None:
    write_parquet(tmp_path / "other.parquet", pa.table({"customer_id": ["1"], "day": [AS_OF], "hazard": [0.1]}))
    with pytest.raises(BadInput, match="truth of another log"):
        evaluate(generated, AS_OF, oracle=True, truth=tmp_path / "other.parquet")
    write_parquet(tmp_path / "scores.parquet", pa.table({"customer_id": ["1"]}))
    with pytest.raises(BadInput, match="lacks the columns"):
        evaluate(generated, AS_OF, oracle=True, truth=tmp_path / "scores.parquet")
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(BadInput, match="not a parquet file"):
        evaluate(generated, AS_OF, oracle=True, truth=tmp_path / "text.parquet")
