"""What Prometheus is told."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from churn.io.registry import Models
from tests.serving.conftest import CUSTOMER, FULL_CUSTOMER, Platform, eventually, running


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
