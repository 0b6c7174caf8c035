"""What Prometheus is told."""

import math
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from churn.io.checks import Checks
from churn.io.registry import Models
from tests.serving.conftest import CUSTOMER, FULL_CUSTOMER, Platform, eventually, running

TODAY = datetime.now(UTC).date()


def told(client: httpx.Client) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by its name and labels."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_predictions_are_counted_by_version_and_probability(served: Platform, first_models: Models) -> None:
    with running(served.settings) as client:
        eventually(lambda: client.get("/readyz").status_code == 200)
        one = client.post("/api/churn/predict", json=CUSTOMER).json()
        many = client.post("/api/churn/batch_predict", json=[CUSTOMER, FULL_CUSTOMER, CUSTOMER]).json()["predictions"]
        assert client.post("/api/churn/predict", json={}).status_code == 422
        found = told(client)
        answers = [one, *many]
        assert found["churn_predictions_total", (("model_version", "1"), ("role", "champion"))] == 4
        contacts = found["churn_predictions_to_contact_total", (("model_version", "1"),)]
        assert contacts == sum(a["churn_prediction"] for a in answers)
        bins = {dict(labels)["up_to"]: n for (name, labels), n in found.items() if name == "churn_probabilities_total"}
        assert sum(bins.values()) == 4
        for answer in answers:
            assert bins[f"{(int(answer['churn_probability'] * 20) + 1) / 20:g}"] >= 1
        predict = ("endpoint", "/api/churn/predict")
        assert found["churn_requests_total", (predict, ("status", "200"))] == 1
        assert found["churn_requests_total", (predict, ("status", "422"))] == 1
        assert found["churn_request_seconds_count", (predict,)] == 2
        assert found["churn_model_version", ()] == 1
        assert found["churn_registry_up", ()] == 1


def test_no_path_becomes_a_label(client: httpx.Client) -> None:
    client.get("/api/churn/customers/somebody-known")
    client.get("/somewhere/else")
    endpoints = {dict(labels).get("endpoint") for _, labels in told(client)}
    assert "other" in endpoints
    assert not any(endpoint and "some" in endpoint for endpoint in endpoints)


def test_every_answer_names_the_served_version(client: httpx.Client) -> None:
    for path in ("/", "/api/churn/health", "/api/churn/features", "/api/churn/model/info", "/metrics", "/nothing"):
        assert client.get(path).headers["x-model-version"] == "1", path
    assert client.post("/api/churn/predict", json={}).headers["x-model-version"] == "1"


def test_what_no_night_has_told_yet_is_no_number(scored: Platform) -> None:
    with running(scored.settings) as client:
        eventually(lambda: value_of(client, "churn_checks_up") == 1)
        found = told(client)
        assert found["churn_scores_up", ()] == 1
        for name in (
            "churn_scores_age_days",
            "churn_drift_alarm",
            "churn_performance_alarm",
            "churn_early_warning_alarm",
        ):
            assert math.isnan(found[name, ()]), name


def test_the_newest_checks_are_told_as_gauges(scored: Platform) -> None:
    record_checks(scored, TODAY - timedelta(days=1), alarm=False)
    record_checks(scored, TODAY, alarm=True)
    with running(scored.settings) as client:
        eventually(lambda: value_of(client, "churn_drift_alarm") == 1)
        found = {name: value for (name, labels), value in told(client).items() if not labels}
        assert {name: found[name] for name in CHECKED} == CHECKED


def test_outcomes_that_are_not_known_yet_are_no_number(scored: Platform) -> None:
    with closing(Checks(scored.settings.score_database)) as checks:
        checks.record(
            TODAY, "performance", "1", alarm=False, summary="waiting", detail={"expected": {}, "realised": None}
        )
    with running(scored.settings) as client:
        eventually(lambda: value_of(client, "churn_performance_alarm") == 0)
        assert math.isnan(value_of(client, "churn_performance_roc_auc"))
        assert math.isnan(value_of(client, "churn_performance_roc_auc_estimate"))


@pytest.mark.parametrize("table", ["checks", "publications"])
def test_a_store_that_goes_away_is_told_and_the_last_alarm_stays(scored: Platform, table: str) -> None:
    record_checks(scored, TODAY, alarm=True)
    scored.publish(TODAY, [0.5])
    with running(scored.settings) as client:
        eventually(lambda: value_of(client, "churn_drift_alarm") == 1)
        rename(scored, table, "elsewhere")
        eventually(lambda: value_of(client, "churn_checks_up") == 0)
        assert value_of(client, "churn_scores_up") == (table == "checks")
        assert value_of(client, "churn_drift_alarm") == 1
        rename(scored, "elsewhere", table)
        eventually(lambda: value_of(client, "churn_checks_up") == 1)
        assert value_of(client, "churn_scores_up") == 1


def rename(platform: Platform, table: str, to: str) -> None:
    with closing(sqlite3.connect(platform.settings.score_database.removeprefix("sqlite:///"), timeout=30)) as db, db:
        db.execute(f"ALTER TABLE {table} RENAME TO {to}")


def value_of(client: httpx.Client, name: str) -> float:
    return told(client)[name, ()]


def record_checks(platform: Platform, as_of: date, *, alarm: bool) -> None:
    """As the nightly steps record them, see churn/steps/check_drift.py and monitor.py."""
    features = {"total_sessions": {"ks": 0.3, "drifted": alarm}, "is_paid_user": {"ks": 0.01, "drifted": False}}
    realised = {"roc_auc": 0.61, "roc_auc_low": 0.58, "roc_auc_high": 0.64, "expected_roc_auc": 0.74}
    performance = {"expected": {"roc_auc": 0.75}, "realised": realised, "limit": 0.70}
    with closing(Checks(platform.settings.score_database)) as checks:
        checks.record(as_of, "drift", "1", alarm=alarm, summary="-", detail={"features": features, "nights": 3})
        checks.record(as_of, "performance", "1", alarm=alarm, summary="-", detail=performance)
        checks.record(as_of, "early_warning", "1", alarm=alarm, summary="-", detail={"nights": []})


CHECKED = {
    "churn_checks_up": 1, "churn_drift_alarm": 1, "churn_drift_age_days": 0, "churn_drift_features_compared": 2,
    "churn_drift_features_drifted": 1, "churn_drift_nights": 3, "churn_performance_alarm": 1,
    "churn_performance_age_days": 0, "churn_performance_roc_auc": 0.61, "churn_performance_roc_auc_low": 0.58,
    "churn_performance_roc_auc_high": 0.64, "churn_performance_roc_auc_expected": 0.74,
    "churn_performance_roc_auc_limit": 0.70, "churn_performance_roc_auc_estimate": 0.75,
    "churn_early_warning_alarm": 1, "churn_early_warning_age_days": 0,
}  # fmt: skip
