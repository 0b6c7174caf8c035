"""The write-up's recipe, step by step, and what is laid bare about it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.metrics import average_precision_score, confusion_matrix, f1_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from churn.core.features import CORE_FEATURES
from churn.core.reference_protocol import CLOCKS, SILENCE, TOTALS, reference_protocol
from churn.errors import BadInput

COLUMNS = [f.name for f in CORE_FEATURES]


def customers(n: int = 160) -> tuple[pd.DataFrame, np.ndarray]:
    """Random customers of whom those who cancelled are silent for longer, and nothing else is different."""
    rng = np.random.default_rng(3)
    cancelled = (np.arange(n) % 4 == 0).astype(np.int64)
    features = pd.DataFrame(rng.gamma(2.0, 10.0, (n, len(COLUMNS))), columns=COLUMNS)
    features[SILENCE] = rng.exponential(np.where(cancelled == 1, 30.0, 3.0))
    return features, cancelled


def test_the_table_is_that_of_the_write_ups_own_lines() -> None:
    features, cancelled = customers()
    pipeline = Pipeline(
        steps=[
            ("preprocessor", ColumnTransformer(transformers=[("num", StandardScaler(), COLUMNS)])),
            ("classifier", XGBClassifier(objective="binary:logistic", eval_metric="auc", random_state=42, n_jobs=1)),
        ]
    )
    folds = StratifiedKFold(n_splits=5, shuffle=True, random_state=42)
    p = cross_val_predict(pipeline, features, cancelled, cv=folds, method="predict_proba")[:, 1]
    found = reference_protocol("2026-03-01", features, cancelled)
    assert found.metrics["roc_auc"].value == pytest.approx(roc_auc_score(cancelled, p))
    assert found.metrics["precision_recall_auc"].value == pytest.approx(average_precision_score(cancelled, p))
    assert found.metrics["f1_score"].value == pytest.approx(f1_score(cancelled, p >= 0.5))
    (tn, fp), (fn, tp) = confusion_matrix(cancelled, p >= 0.5).tolist()
    assert found.confusion == {"tn": tn, "fp": fp, "fn": fn, "tp": tp}


def test_single_features_are_ranked_in_the_direction_that_tells_more() -> None:
    features, cancelled = customers()
    features["days_since_registration"] = -features[SILENCE]  # the same order, the other way round
    found = reference_protocol("2026-03-01", features, cancelled)
    silence, tenure = found.single(SILENCE), found.single("days_since_registration")
    assert silence.roc_auc == pytest.approx(roc_auc_score(cancelled, features[SILENCE])) == tenure.roc_auc
    assert (silence.more_is_churn, tenure.more_is_churn) == (True, False)
    assert silence.median_cancelled == pytest.approx(features.loc[cancelled == 1, SILENCE].median())
    assert [s.roc_auc for s in found.singles] == sorted((s.roc_auc for s in found.singles), reverse=True)
    assert min(s.roc_auc for s in found.singles) >= 0.5


def test_without_what_knows_the_end_of_the_log_the_figure_goes() -> None:
    features, cancelled = customers()
    found = reference_protocol("2026-03-01", features, cancelled)
    clocks, rates = found.ablations
    assert (clocks.without, clocks.features) == (CLOCKS, 11)
    assert (rates.without, rates.features) == ((*CLOCKS, *TOTALS), 5)
    assert (found.metrics["roc_auc"].low or 0) > 0.8 > clocks.roc_auc
    assert abs(rates.roc_auc - 0.5) < 0.15


@pytest.mark.parametrize("few", [0, 4, 156, 160])
def test_too_few_of_a_kind_are_refused_with_what_was_found(few: int) -> None:
    features, _ = customers()
    cancelled = (np.arange(len(features)) < few).astype(np.int64)
    with pytest.raises(BadInput, match=f"{few} customers who cancelled and {160 - few} who did not"):
        reference_protocol("2026-03-01", features, cancelled)
