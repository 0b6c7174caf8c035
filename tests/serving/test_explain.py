"""Reasons of one customer, and the hold-out of the version."""

import math
from typing import Any

import httpx
import numpy as np
import pytest

from churn.core.features import FEATURE_NAMES
from churn.io.registry import Models
from tests.serving.conftest import CUSTOMER, FULL_CUSTOMER, NAMES

EXPLAIN = "/api/churn/explain"


@pytest.mark.parametrize(("customer", "model"), [(CUSTOMER, "core"), (FULL_CUSTOMER, "full")])
def test_reasons_add_up_to_the_score(client: httpx.Client, customer: dict[str, Any], model: str) -> None:
    answer = client.post(EXPLAIN, json=customer)
    body, scored = answer.json(), client.post("/api/churn/predict", json=customer).json()
    assert {name: body[name] for name in scored} == pytest.approx(scored)
    assert (body["model"], answer.headers["x-model"], answer.headers["x-model-version"]) == (model, model, "1")
    total = body["average_log_odds"] + sum(r["contribution"] for r in body["reasons"]) + body["others"]
    assert total == pytest.approx(body["log_odds"], abs=1e-12)
    p = body["churn_probability"]
    assert math.log(p / (1 - p)) == pytest.approx(body["log_odds"], abs=1e-6)
    sizes = [abs(r["contribution"]) for r in body["reasons"]]
    assert sizes == sorted(sizes, reverse=True) and len(sizes) <= 5


def test_they_are_the_models_own(client: httpx.Client, first_models: Models) -> None:
    row = np.array([[float(CUSTOMER[name]) for name in NAMES]])
    (expected,) = first_models.core.reasons(row, 3)
    body = client.post(EXPLAIN, params={"reasons": 3}, json=CUSTOMER).json()
    assert [(r["feature"], r["text"]) for r in body["reasons"]] == [(r.feature, r.text) for r in expected]
    assert [r["contribution"] for r in body["reasons"]] == pytest.approx([r.contribution for r in expected])


@pytest.mark.parametrize("reasons", ["0", str(len(FEATURE_NAMES) + 1), "many"])
def test_a_number_of_reasons_that_cannot_be_is_refused(client: httpx.Client, reasons: str) -> None:
    answer = client.post(EXPLAIN, params={"reasons": reasons}, json=CUSTOMER)
    assert (answer.status_code, answer.json()["detail"][0]["field"]) == (422, "reasons")


def test_a_wrong_customer_is_refused_as_in_predict(client: httpx.Client) -> None:
    wrong = {**CUSTOMER, "total_sessions": -3}
    assert client.post(EXPLAIN, json=wrong).json() == client.post("/api/churn/predict", json=wrong).json()


def test_a_version_without_a_record_of_its_hold_out_says_nothing_of_it(client: httpx.Client) -> None:
    body = client.get("/api/churn/model/evaluation").json()
    assert (body["model_version"], body["model"], body["metrics"], body["calibration"]) == ("1", "full", {}, [])
    assert body["customers"] is None
