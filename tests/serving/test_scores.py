"""Tonight's list, from a real score book."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.serving.conftest import CUSTOMER, Platform, eventually, platform_in, running

TOP, HEALTH = "/api/churn/top", "/api/churn/health"
TODAY = datetime.now(UTC).date()


def test_an_empty_score_book_gives_an_empty_list(scored: Platform) -> None:
    with running(scored.settings) as client:
        answer = client.get(TOP)
        assert answer.status_code == 200
        assert answer.json()["customers"] == []
        assert answer.json()["as_of"] is None
        eventually(lambda: client.get(HEALTH).json()["scores_reachable"])
        assert client.get(HEALTH).json()["scores_as_of"] is None


def test_the_riskiest_come_first_from_the_newest_night(scored: Platform) -> None:
    scored.publish(TODAY - timedelta(days=1), [0.99, 0.98])
    scored.publish(TODAY, [0.1, 0.7, 0.3, 0.5])
    with running(scored.settings) as client:
        body = client.get(TOP, params={"limit": 3}).json()
        assert [c["customer_id"] for c in body["customers"]] == ["c001", "c003", "c002"]
        assert [c["churn_prediction"] for c in body["customers"]] == [1, 1, 0]
        assert (body["as_of"], body["customers_scored"], body["predicted_to_churn"]) == (TODAY.isoformat(), 4, 2)
        assert (body["age_days"], body["stale"], body["model_version"], body["threshold"]) == (0, False, "1", 0.5)
        eventually(lambda: client.get(HEALTH).json()["customers_scored"] == 4)


def test_scores_older_than_a_day_are_stale(scored: Platform) -> None:
    scored.publish(TODAY - timedelta(days=2), [0.5])
    with running(scored.settings) as client:
        assert client.get(TOP).json()["stale"] is True
        eventually(lambda: client.get(HEALTH).json()["scores_stale"])


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "", "1.5", "9" * 5000])
def test_a_limit_out_of_range_is_refused(client: httpx.Client, limit: str) -> None:
    answer = client.get(TOP, params={"limit": limit})
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert (problem["field"], problem["loc"]) == ("limit", ["query", "limit"])
    assert len(answer.content) < 1000


def test_a_score_book_that_is_away_is_503_and_scoring_goes_on(tmp_path: Path, served: Platform) -> None:
    (tmp_path / "folder").mkdir()
    away = {"database_url": f"sqlite:///{tmp_path}/folder", "mlflow_tracking_uri": served.settings.tracking_uri}
    with running(platform_in(tmp_path, **away).settings) as client:
        answer = client.get(TOP)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert str(tmp_path) not in answer.text
        eventually(lambda: client.get(HEALTH).json()["scores_reachable"] is False)
        eventually(lambda: client.post("/api/churn/predict", json=CUSTOMER).status_code == 200)
