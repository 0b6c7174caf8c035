"""The benchmark's own arithmetic: thresholds, differences, what BG/NBD is told, and the page."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.cdnow import summary
from benchmarks.measured import Scored, best_f1, measure
from benchmarks.peers import rank_blend
from benchmarks.results import merge

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_best_threshold_is_where_right_probabilities_expect_the_highest_f1() -> None:
    probability = np.random.default_rng(3).beta(1, 4, size=400)

    def expected_f1(threshold: float) -> float:
        above = probability >= threshold
        return float(2 * probability[above].sum() / (above.sum() + probability.sum()))

    found = best_f1(probability)
    assert expected_f1(found) == pytest.approx(max(map(expected_f1, probability)))
    assert 0.1 < found < 0.5  # half of the F1 that it gives: Lipton, Elkan & Naryanaswamy 2014
    assert found == pytest.approx(expected_f1(found) / 2, abs=0.01)


def test_differences_are_ours_minus_the_other_and_a_ranking_has_no_log_loss() -> None:
    rng = np.random.default_rng(5)
    truth = rng.uniform(0.02, 0.6, size=3_000)
    churned = (rng.uniform(size=3_000) < truth).astype(int)
    others = {"same": Scored(truth), "rank": Scored(rank_blend(truth, truth), probability=False),
              "none": Scored(np.full(3_000, churned.mean()))}  # fmt: skip
    found = measure(churned, {"ours": Scored(truth), **others}, "ours", resamples=200)
    same, gained = found.versus["same"]["roc_auc"], found.versus["none"]["log_loss"]
    assert same.value == same.low == same.high == 0
    assert gained.high is not None and gained.high < 0
    assert found.methods["rank"]["log_loss"].value is None
    assert found.versus["rank"]["roc_auc"].value == pytest.approx(0, abs=1e-12)


def test_bgnbd_is_told_of_repeat_purchase_days_before_the_cut_off_only() -> None:
    days = ["1997-01-10", "1997-01-10", "1997-03-01", "1998-04-02", "1997-02-01"]
    purchases = pd.DataFrame({"customer_id": ["1", "1", "1", "1", "2"], "date": pd.to_datetime(days)})
    found = summary(purchases, date(1998, 4, 2)).set_index("customer_id")
    assert found.loc["1"].to_dict() == {"frequency": 1, "recency": 50, "T": 447}
    assert found.loc["2"].to_dict() == {"frequency": 0, "recency": 0, "T": 425}


def test_a_section_measured_again_replaces_the_one_before_and_no_other(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    page.write_text(merge(page, {"Second": "from last year", "First": "kept"}, ["First", "Second"]))
    again = merge(page, {"Second": "new\n\n| a |"}, ["First", "Second"])
    assert again.index("## First\n\nkept") < again.index("## Second\n\nnew\n\n| a |")
    assert "from last year" not in again


def test_without_the_public_tables_it_says_where_to_name_them(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.quality", "--data", str(tmp_path / "nowhere")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "--data" in done.stderr and "CHURN_TEST_DATA" in done.stderr
