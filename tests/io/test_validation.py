"""Great Expectations on the feature list: what fails is named with its count, and nothing is left behind."""

import tempfile
from pathlib import Path

import pandas as pd
import pytest

from churn.core.features import FEATURES
from churn.io.validation import validate_features


def frame(rows: int = 5) -> pd.DataFrame:
    columns = {f.name: [float(f.example)] * rows for f in FEATURES}
    return pd.DataFrame({"customer_id": [str(i) for i in range(rows)]} | columns)


def test_a_complete_table_within_its_ranges_passes() -> None:
    found = validate_features(frame(), FEATURES)
    assert found.success
    assert found.rows == 5
    assert found.met == len(found.findings) == 4 + 2 * len(FEATURES)


@pytest.mark.parametrize(
    ("change", "rule", "unexpected"),
    [
        ({"thumbs_up_count": [1.0, -1.0, 2.0, -3.0, 0.0]}, "thumbs_up_count is between 0 and 1e+09", 2),
        ({"is_paid_user": [0.0, 1.0, 2.0, 0.0, 1.0]}, "is_paid_user is between 0 and 1", 1),
        ({"total_sessions": [1.0, None, 1.0, None, None]}, "total_sessions is given", 3),
        ({"customer_id": ["a", "a", "b", "c", "d"]}, "customer_id is unique", 2),
        ({"unknown": [1.0] * 5}, "all columns", 0),
    ],
)
def test_what_is_wrong_is_named_and_counted(change: dict[str, list[object]], rule: str, unexpected: int) -> None:
    found = validate_features(frame().assign(**change), FEATURES)
    assert not found.success
    assert [(f.rule, f.unexpected) for f in found.failures] == [(rule, unexpected)]


def test_an_empty_table_is_not_fit_to_be_scored() -> None:
    assert "there are customers" in {f.rule for f in validate_features(frame(0), FEATURES).failures}


def test_a_missing_column_fails_and_says_so() -> None:
    found = validate_features(frame().drop(columns=["total_sessions"]), FEATURES)
    assert not found.success
    assert any("total_sessions" in f.rule and "not checked" in f.rule for f in found.failures)


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    validate_features(frame(), FEATURES)
    assert list(tmp_path.iterdir()) == []
