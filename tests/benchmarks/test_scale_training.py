"""The benchmark of long trainings: panels whose truth is known, and a table of what was measured."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import scale_training
from benchmarks.scale_training import Run, Skipped, divergence, table, write_panel
from churn.io.panel_file import PanelFile


def test_a_generated_panel_holds_its_rows_and_its_outcomes_follow_the_truth(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_panel(tmp_path / name, 3_000, fresh=2_000)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    panel = PanelFile(tmp_path / "one")
    fresh = panel.holdout()
    assert (panel.training_rows, len(fresh)) == (3_000, 2_000)
    truth = fresh["truth"].to_numpy()
    error = np.sqrt((truth * (1 - truth)).sum()) / len(truth)
    assert abs(fresh["churned"].mean() - truth.mean()) < 5 * error
    assert 0.02 < truth.mean() < 0.04


def test_the_truth_leaves_nothing_to_gain_and_anything_else_does() -> None:
    truth = np.array([0.01, 0.2, 0.5])
    assert divergence(truth, truth) == pytest.approx(0)
    assert divergence(truth, truth * 1.1) > 0


def test_a_training_that_fails_is_told_with_its_code_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale_training, "write_panel", lambda path, rows: path.write_bytes(b"no panel"))
    found = scale_training.measure((1_000,), (0.5,), tmp_path / "work")
    assert found == [Skipped(way, 1_000, "it failed with code 1") for way in ("whole", "sample", "disk", "uncorrected")]
    assert "killed (code -9)" in scale_training._ended(-9)
    assert not list((tmp_path / "work").iterdir())


def test_what_does_not_fit_in_memory_is_said_in_the_table() -> None:
    run = Run("disk", 2_000_000, 200_000, 61.4, 60.2, 900.6, 0.1, 0.0012, 0.75, 0.001, 0.0271, 0.027)
    said = table([run, Skipped("whole", 2_000_000, "some 16 GB are needed, 8 GB are free")])
    assert "| 2,000,000 | weighted sample, trees on all rows from disk | 200,000 | 61 | 60 | 901 |" in said
    assert "| 2.71% | 2.70% |" in said
    assert "not run: some 16 GB are needed" in said
