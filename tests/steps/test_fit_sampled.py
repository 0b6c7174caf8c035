"""A panel longer than a training holds in memory: fitted on a sample, trees on all of it, measured on every row."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn.core.boosting import BoostingParameters, fit_boosting
from churn.core.features import CORE_FEATURES
from churn.core.training import numbers
from churn.errors import Unavailable
from churn.io.lake import Lake
from churn.io.panel_file import PanelFile
from churn.io.registry import Registry
from churn.settings import Settings
from churn.steps.build_panel import build_panel
from churn.steps.fit import SEED, fit_rows, split
from churn.steps.ingest import ingest
from churn.steps.simulate import simulate
from churn.steps.train import train_on_panel
from tests.steps.test_fit import panel

CORE = [f.name for f in CORE_FEATURES]


def test_a_sampled_panel_gives_figures_of_the_whole_and_trees_of_all_its_rows(
    settings: Settings, tmp_path: Path
) -> None:
    table, path, said = panel(1_000), tmp_path / "panel.parquet", []
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path)
    file, (training, holdout) = PanelFile(path), split(table)
    given = file.training(1_500, SEED)
    assert len(given.rows) < 0.6 * len(training)
    fitted = fit_rows(given, file.holdout(), settings, whole=file.whole, progress=said.append)
    rate = training["churned"].mean()
    for name, model in fitted.models.items():
        assert fitted.baselines[name]["base rate"] == pytest.approx(rate)
        assert model.card.churn_rate == pytest.approx(rate)
        assert fitted.assessments[name].rows == len(holdout)
        error = np.sqrt(rate * (1 - rate) * (1 / len(given.rows) + 1 / len(holdout)))
        assert abs(fitted.probability[name].mean() - holdout["churned"].mean()) < 5 * error
        said_of_it = model.card.parameters["sample"]
        assert (said_of_it["rows_in_all"], said_of_it["rows_of_the_trees"]) == (len(training), len(training))
    core = fitted.models["core"]
    assert core.trees is not None
    parameters = BoostingParameters(**core.card.parameters["trees"])
    everything = fit_boosting(numbers(training[CORE]), training["churned"].to_numpy(np.int64), parameters, SEED)
    assert core.trees.save_raw() == everything.save_raw()
    assert any("model on a sample of 3,000 rows: " in line for line in said)
    assert list(tmp_path.glob(".trees.*")) == []


def test_a_panel_that_changes_while_it_is_trained_on_gives_no_version(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, table = Lake(settings.data_home).panel(date(2026, 3, 1)), panel(300)
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path)

    def forgotten_meanwhile(*_: object, **__: object) -> None:
        pq.write_table(pa.Table.from_pandas(table[1:], preserve_index=False), path)

    monkeypatch.setattr("churn.steps.train.fit_rows", forgotten_meanwhile)
    with pytest.raises(Unavailable, match="written anew while it was trained on"):
        train_on_panel(settings, date(2026, 3, 1))
    assert Registry(settings).production() is None


@pytest.mark.slow
def test_a_training_on_a_sample_says_so_and_finds_itself_again(settings: Settings) -> None:
    as_of = date(2026, 3, 1)
    simulate(settings.data_home / "log", customers=500, days=80, seed=5, start=as_of - timedelta(days=80))
    ingest(settings, [settings.data_home / "log"])
    built = build_panel(settings, as_of)
    small = settings.model_copy(update={"training_rows": 1_000})
    said: list[str] = []
    report = train_on_panel(small, as_of, progress=said.append)
    assert report.training_rows == built.training_rows
    assert abs(report.training_rows_used - 1_000) < 150
    tags = Registry(small).version(report.model_version).tags
    assert tags["training_rows"] == str(report.training_rows)
    assert tags["training_rows_used"] == str(report.training_rows_used)
    assert float(tags["training_share_of_stayed"]) < 1
    assert tags["training_share_of_churned"] == "1"
    assert any(f"of {report.training_rows:,} rows" in line for line in said)
    again = train_on_panel(small, as_of)
    assert (again.new, again.model_version, again.metrics) == (False, report.model_version, report.metrics)
    folder = Lake(settings.data_home).panel(as_of).parent
    assert [path.name for path in folder.iterdir()] == ["panel.parquet"]
