"""Everything that a caller can get wrong is answered with what is wrong, never with a 500."""

import json
from http.client import HTTPConnection
from typing import Any

import httpx
import pytest

from serving.customers import MAX_ROWS
from tests.serving.conftest import CUSTOMER, EXTENDED, FULL_CUSTOMER, NAMES
from tests.serving.test_predict import BATCH, PREDICT

JSON = {"Content-Type": "application/json"}


def raw(value: str, name: str = "total_sessions") -> str:
    """The example as JSON text, one value written as given."""
    return json.dumps(CUSTOMER | {name: "@"}).replace('"@"', value)


def only_problem(answer: Any, status: int = 422) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["error_count"] == len(body["detail"]) == 1
    problem: dict[str, Any] = body["detail"][0]
    assert {"field", "found", "expected", "loc", "msg"} <= set(problem)
    return problem


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ('"10"', 'text "10"'), ("null", "null"), ("true", "true"), ("NaN", "NaN"), ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"), ("1e308", "1e+308"), ("1e999", "Infinity"), ("-3", "-3"), ("10.5", "10.5"),
        ("[1]", "an array of 1"), ('{"a": 1}', "an object with 1 names"), ("1e10", "10000000000.0"),
        ('"\\ud800"', 'text "\\ud800"'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [PREDICT, BATCH])
def test_a_wrong_value_is_named_with_what_came_and_what_was_expected(
    client: httpx.Client, path: str, value: str, found: str
) -> None:
    text = raw(value) if path == PREDICT else f"[{json.dumps(CUSTOMER)}, {raw(value)}]"
    problem = only_problem(client.post(path, content=text, headers=JSON))
    assert problem["field"] == "total_sessions"
    assert problem["found"] == found
    assert problem["expected"] == "a whole number from 0 to 1,000,000,000"
    assert problem["loc"] == (["body", "total_sessions"] if path == PREDICT else ["body", 1, "total_sessions"])
    assert problem.get("index") == (None if path == PREDICT else 1)
    assert "total_sessions" in problem["msg"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("avg_session_duration", "true"), ("avg_session_duration", "-0.1"), ("thumbs_up_ratio", "1e7"),
        ("time_since_last_activity", "40000"), ("is_paid_user", "2"), ("is_paid_user", "0.5"),
        ("is_paid_user", '"true"'), ("days_since_registration", "null"), ("thumbs_down_ratio", "1" + "0" * 400),
    ],
)  # fmt: skip
def test_every_feature_keeps_its_range(client: httpx.Client, name: str, value: str) -> None:
    assert only_problem(client.post(PREDICT, content=raw(value, name), headers=JSON))["field"] == name


@pytest.mark.parametrize("value", ['"3"', "null", "NaN", "-1", "1e12", "[]"])
@pytest.mark.parametrize("others", [FULL_CUSTOMER, CUSTOMER], ids=["every", "some"])
@pytest.mark.parametrize("path", [PREDICT, BATCH])
def test_an_extended_feature_keeps_its_rules_whether_or_not_all_came(
    client: httpx.Client, path: str, others: dict[str, Any], value: str
) -> None:
    text = json.dumps(others | {EXTENDED[0]: "@"}).replace('"@"', value)
    problem = only_problem(client.post(path, content=text if path == PREDICT else f"[{text}]", headers=JSON))
    assert problem["field"] == EXTENDED[0]


@pytest.mark.parametrize("value", ["10.0", "1e1", "0", "-0.0"])
def test_a_whole_number_may_be_written_as_a_float(client: httpx.Client, value: str) -> None:
    assert client.post(PREDICT, content=raw(value), headers=JSON).status_code == 200


def test_a_huge_integer_is_out_of_range_and_not_repeated(client: httpx.Client) -> None:
    problem = only_problem(client.post(PREDICT, content=raw("1" + "0" * 400), headers=JSON))
    assert problem["found"].startswith("1000") and len(problem["found"]) < 150
    assert "digits" in only_problem(client.post(PREDICT, content=raw("9" * 9000), headers=JSON))["found"]


@pytest.mark.parametrize("name", NAMES)
def test_each_core_feature_is_required(client: httpx.Client, name: str) -> None:
    problem = only_problem(client.post(PREDICT, json={k: v for k, v in CUSTOMER.items() if k != name}))
    assert (problem["field"], problem["found"]) == (name, "nothing")


@pytest.mark.parametrize("name", NAMES)
def test_each_core_feature_is_required_beside_every_other_too(client: httpx.Client, name: str) -> None:
    problem = only_problem(client.post(PREDICT, json={k: v for k, v in FULL_CUSTOMER.items() if k != name}))
    assert (problem["field"], problem["found"]) == (name, "nothing")


def test_an_unknown_name_is_refused_with_the_closest_one(client: httpx.Client) -> None:
    problem = only_problem(client.post(PREDICT, json={**CUSTOMER, "total_sesions": 3}))
    assert problem["field"] == "total_sesions"
    assert "did you mean total_sessions?" in problem["expected"]
    problem = only_problem(client.post(PREDICT, content=raw("1")[:-1] + ', "\\udfff": 1}', headers=JSON))
    assert "only the features" in problem["expected"]


def test_long_input_is_not_repeated(client: httpx.Client) -> None:
    answer = client.post(PREDICT, json={**CUSTOMER, "x" * 5000: 1, "total_sessions": "y" * 5000})
    assert answer.status_code == 422
    assert len(answer.content) < 3000


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty body"), (b"  \n", "empty body"), (b"{", "not JSON"), (b"hello", "not JSON"),
        (b"{'a': 1}", "not JSON"), (b"\xff\xfe{}", "UTF-8"), (b'{"a": "\xc3\x28"}', "UTF-8"),
        (b"[" * 30_000, "nested"), (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested"),
        (b"{} {}", "not JSON"), (b'{"a": 1, "a": 2}', "twice"), (b"null", "null"), (b"5", "5"), (b'"x"', "text"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [PREDICT, BATCH])
def test_what_is_not_a_json_object_or_array_is_refused_in_words(
    client: httpx.Client, path: str, content: bytes, says: str
) -> None:
    answer = client.post(path, content=content, headers=JSON)
    assert answer.status_code == 422
    assert says in answer.json()["detail"][0]["msg"]


def test_predict_refuses_an_array_and_batch_an_object(client: httpx.Client) -> None:
    assert only_problem(client.post(PREDICT, json=[CUSTOMER]))["found"] == "an array of 1"
    assert "an array of" in only_problem(client.post(BATCH, json=CUSTOMER))["expected"]


def test_a_batch_names_rows_that_are_no_objects(client: httpx.Client) -> None:
    problem = only_problem(client.post(BATCH, json=[CUSTOMER, [1, 2]]))
    assert problem["index"] == 1
    assert problem["loc"] == ["body", 1]


def test_an_empty_batch_and_a_batch_too_long_are_refused(client: httpx.Client) -> None:
    assert only_problem(client.post(BATCH, json=[]))["found"] == "an empty array"
    problem = only_problem(client.post(BATCH, content=b"[" + b"{}," * MAX_ROWS + b"{}]", headers=JSON))
    assert problem["found"] == "an array of 100,001"


def test_many_problems_are_counted_and_a_few_are_listed(client: httpx.Client) -> None:
    body = client.post(BATCH, json=[{**CUSTOMER, "total_sessions": -1, "is_paid_user": "x"}] * 1000).json()
    assert len(body["detail"]) == 20
    assert body["error_count"] == 2000
    assert body["detail"][2]["index"] == 1


@pytest.mark.parametrize("path", [PREDICT, BATCH])
def test_a_body_that_announces_too_many_bytes_is_413_before_it_is_sent(client: httpx.Client, path: str) -> None:
    connection = HTTPConnection(client.base_url.host, client.base_url.port or 80, timeout=10)
    connection.putrequest("POST", path)
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(10**15))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["detail"][0]["found"] == "1,000,000,000,000,000 bytes"
    connection.close()


@pytest.mark.parametrize("path", [PREDICT, BATCH])
def test_a_body_over_the_limit_is_413_when_it_was_not_announced(client: httpx.Client, path: str) -> None:
    chunks = (b" " * 2**20 for _ in range(65))
    assert "bytes" in only_problem(client.post(path, content=chunks, headers=JSON), 413)["expected"]


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "application/xml", "é"])
def test_another_content_type_is_415(client: httpx.Client, kind: str) -> None:
    answer = client.post(PREDICT, content=json.dumps(CUSTOMER), headers={"Content-Type": kind.encode()})
    assert only_problem(answer, 415)["expected"] == "application/json"


def test_unknown_paths_and_wrong_methods_are_as_usual(client: httpx.Client) -> None:
    assert client.get("/api/churn/nothing").status_code == 404
    assert client.get(PREDICT).status_code == 405
    assert client.post("/api/churn/health").status_code == 405
