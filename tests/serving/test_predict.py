"""The prediction endpoints' bodies, and that one customer and many are scored alike."""

import json
import time
from typing import Any

import httpx
import pandas as pd
import pytest

from churn.core.features import FEATURES
from churn.io.registry import Models
from tests.serving.conftest import CUSTOMER, EXTENDED, FULL_CUSTOMER, NAMES, random_customers

PREDICT, BATCH = "/api/churn/predict", "/api/churn/batch_predict"


def test_the_write_ups_example_gives_the_exact_body(client: httpx.Client, first_models: Models) -> None:
    answer = client.post(PREDICT, json=CUSTOMER)
    assert answer.status_code == 200
    body = answer.json()
    assert list(body) == ["churn_prediction", "churn_probability", "no_churn_probability"]
    assert body["churn_probability"] == first_models.core.predict_proba(pd.DataFrame([CUSTOMER]))[0]
    assert body["churn_probability"] + body["no_churn_probability"] == pytest.approx(1)
    assert body["churn_prediction"] == int(body["churn_probability"] >= first_models.core.threshold)
    assert (answer.headers["x-model-version"], answer.headers["x-model"]) == ("1", "core")


def test_a_customer_with_every_feature_is_answered_by_the_full_model(
    client: httpx.Client, first_models: Models
) -> None:
    answer = client.post(PREDICT, json=dict(reversed(FULL_CUSTOMER.items())))
    body = answer.json()
    assert list(body) == ["churn_prediction", "churn_probability", "no_churn_probability"]
    assert body["churn_probability"] == first_models.full.predict_proba(pd.DataFrame([FULL_CUSTOMER]))[0]
    assert body["churn_prediction"] == int(body["churn_probability"] >= first_models.full.threshold)
    assert (answer.headers["x-model-version"], answer.headers["x-model"]) == ("1", "full")


@pytest.mark.parametrize("left_out", [EXTENDED[:1], EXTENDED[-1:], EXTENDED[1:]])
def test_a_feature_that_did_not_come_is_not_made_up(client: httpx.Client, left_out: list[str]) -> None:
    some = {name: value for name, value in FULL_CUSTOMER.items() if name not in left_out}
    core = {name: FULL_CUSTOMER[name] for name in NAMES}
    answer = client.post(PREDICT, json=some)
    assert answer.headers["x-model"] == "core"
    assert answer.json() == client.post(PREDICT, json=core).json() != client.post(PREDICT, json=FULL_CUSTOMER).json()


def test_the_write_ups_curl_body_with_whole_numbers_for_durations_works(client: httpx.Client) -> None:
    curl = {**CUSTOMER, "avg_session_duration": 3600, "avg_songs_per_session": 10}
    assert client.post(PREDICT, json=curl).json() == client.post(PREDICT, json=CUSTOMER).json()


@pytest.mark.parametrize("paid", [0, 1, 0.0, 1.0, False, True])
def test_a_flag_may_be_a_number_or_a_boolean(client: httpx.Client, paid: Any) -> None:
    answer = client.post(PREDICT, json={**CUSTOMER, "is_paid_user": paid})
    assert answer.json() == client.post(PREDICT, json={**CUSTOMER, "is_paid_user": int(paid)}).json()


def test_a_batch_answers_each_customer_as_if_it_were_alone(client: httpx.Client) -> None:
    customers = random_customers(50, seed=9).to_dict("records")
    answer = client.post(BATCH, json=customers)
    assert answer.status_code == 200
    assert list(answer.json()) == ["predictions"]
    alone = [{"index": i, **client.post(PREDICT, json=c).json()} for i, c in enumerate(customers)]
    assert answer.json()["predictions"] == alone
    assert next(iter(answer.json()["predictions"][0])) == "index"
    assert (answer.headers["x-model-version"], answer.headers["x-model"]) == ("1", "core")


@pytest.mark.parametrize("every", [True, False])
def test_a_batch_of_some_with_every_feature_keeps_the_order_and_the_bits(client: httpx.Client, every: bool) -> None:
    """Every third row brings only some of the extended features, every fifth only the core ones."""
    customers = random_customers(60, seed=11, features=FEATURES).to_dict("records")
    if not every:
        for i, customer in enumerate(customers):
            for name in EXTENDED if i % 5 == 0 else EXTENDED[3:] if i % 3 == 0 else ():
                del customer[name]
    answer = client.post(BATCH, json=customers)
    alone = [client.post(PREDICT, json=c) for c in customers]
    assert answer.json()["predictions"] == [{"index": i, **a.json()} for i, a in enumerate(alone)]
    assert [a.headers["x-model"] for a in alone] == [
        "full" if every or (i % 5 and i % 3) else "core" for i in range(60)
    ]
    assert answer.headers["x-model"] == ("full" if every else "mixed")


def test_the_order_of_names_does_not_matter(client: httpx.Client) -> None:
    shuffled = {name: CUSTOMER[name] for name in reversed(NAMES)}
    assert client.post(PREDICT, json=shuffled).json() == client.post(PREDICT, json=CUSTOMER).json()


def test_a_hundred_thousand_customers_take_a_few_seconds(client: httpx.Client) -> None:
    body = json.dumps(random_customers(100_000, seed=3).to_dict("records"))
    start = time.perf_counter()
    answer = client.post(BATCH, content=body, headers={"Content-Type": "application/json"})
    took = time.perf_counter() - start
    assert answer.status_code == 200
    assert len(answer.json()["predictions"]) == 100_000
    assert took < 10


@pytest.mark.parametrize("content_type", [None, "application/json; charset=utf-8", "application/problem+json"])
def test_json_is_taken_by_any_of_its_names_and_without_one(client: httpx.Client, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    assert client.post(PREDICT, content=json.dumps(CUSTOMER).encode(), headers=headers).status_code == 200
