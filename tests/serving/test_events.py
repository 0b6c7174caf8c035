"""A customer scored from raw events: what is answered, and everything that is refused."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from churn.core.features import FEATURE_NAMES
from churn.errors import BadInput
from churn.io.registry import Models
from churn.settings import Settings
from serving.event_slices import MAX_EVENTS
from serving.events import router
from tests.raw_log import DAY_MS, FIRST_MS, Row, a_visitor, raw_row, raw_rows
from tests.serving.conftest import Platform, eventually, running
from tests.serving.test_refusals import JSON, only_problem

EVENTS = "/api/churn/predict/events"
AS_OF = "2018-11-03"
"""A day and a half after the rows of `raw_log`."""


def slice_of(*events: Any, as_of: str | None = AS_OF) -> dict[str, Any]:
    return {"events": list(events)} | ({} if as_of is None else {"as_of": as_of})


def problems(client: httpx.Client, *events: Any, as_of: str | None = AS_OF) -> list[dict[str, Any]]:
    answer = client.post(EVENTS, json=slice_of(*events, as_of=as_of))
    assert answer.status_code == 422, answer.text
    body = answer.json()
    assert body["error_count"] >= len(body["detail"]) > 0
    found: list[dict[str, Any]] = body["detail"]
    return found


def problem(client: httpx.Client, *events: Any, as_of: str | None = AS_OF) -> dict[str, Any]:
    found = problems(client, *events, as_of=as_of)
    assert len(found) == 1
    return found[0]


def test_a_slice_of_the_log_is_scored_by_the_full_model(client: httpx.Client, first_models: Models) -> None:
    answer = client.post(EVENTS, json=slice_of(*raw_rows(20), raw_row(21, page="Thumbs Up"), a_visitor(30)))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert list(body) == [
        "customer_id", "as_of", "churn_prediction", "churn_probability", "no_churn_probability", "model", "events",
        "features", "reasons",
    ]  # fmt: skip
    assert (body["customer_id"], body["as_of"], body["model"]) == ("39", AS_OF, "full")
    assert body["events"] == {"read": 22, "used": 21, "without_customer": 1, "after_cutoff": 0}
    assert list(body["features"]) == list(FEATURE_NAMES)
    assert (body["features"]["total_songs_played"], body["features"]["thumbs_up_count"]) == (20, 1)
    assert body["features"]["days_since_registration"] == 31.5
    assert len(body["reasons"]) == 3
    assert abs(body["reasons"][0]["contribution"]) >= abs(body["reasons"][2]["contribution"]) > 0
    assert body["churn_probability"] + body["no_churn_probability"] == pytest.approx(1)
    assert body["churn_prediction"] == int(body["churn_probability"] >= first_models.full.threshold)
    assert (answer.headers["x-model-version"], answer.headers["x-model"]) == ("1", "full")
    assert "Quackenbush" not in answer.text


def test_the_score_is_that_of_the_features_sent_to_predict(client: httpx.Client) -> None:
    body = client.post(EVENTS, json=slice_of(*raw_rows(9))).json()
    alone = client.post("/api/churn/predict", json=body["features"]).json()
    assert alone["churn_probability"] == pytest.approx(body["churn_probability"], abs=1e-9)


def test_without_a_cut_off_it_is_today(client: httpx.Client) -> None:
    for body in (slice_of(raw_row(), as_of=None), slice_of(raw_row()) | {"as_of": None}):
        before = datetime.now(UTC).date()
        answer = client.post(EVENTS, json=body).json()
        assert date.fromisoformat(answer["as_of"]) in (before, datetime.now(UTC).date())


def test_events_at_the_cut_off_or_later_are_counted_and_not_looked_at(client: httpx.Client) -> None:
    midnight = FIRST_MS + DAY_MS // 2
    strange = raw_row(1, ts=midnight + 1, userId="40", page="unheard of", sessionId=None, length=-1)
    before, known = raw_row(0, ts=midnight - 1), raw_row(3)
    late = client.post(EVENTS, json=slice_of(known, before, raw_row(2, ts=midnight), strange, as_of="2018-11-02"))
    alone = client.post(EVENTS, json=slice_of(known, before, as_of="2018-11-02"))
    assert late.json() | {"events": {}} == alone.json() | {"events": {}}
    assert late.json()["events"] == {"read": 4, "used": 2, "without_customer": 0, "after_cutoff": 2}


def test_equal_events_count_as_often_as_they_come(client: httpx.Client) -> None:
    answer = client.post(EVENTS, json=slice_of(raw_row(), raw_row(), raw_row())).json()
    assert (answer["events"]["used"], answer["features"]["total_songs_played"]) == (3, 3)


def test_unknown_columns_and_the_order_of_events_do_not_matter(client: httpx.Client) -> None:
    rows = [raw_row(n, day=n % 2, sessionId=n % 2, more={"nested": [n]}) | {"other": "x"} for n in range(12)]
    a, b = (client.post(EVENTS, json=slice_of(*order)).json() for order in (rows, rows[::-1]))
    assert a == b


@pytest.mark.parametrize(
    ("changed", "column", "found", "expected"),
    [
        ({"page": "Sauna"}, "page", 'text "Sauna"', "one of NextSong, Thumbs Up"),
        ({"level": "gold"}, "level", 'text "gold"', "one of free, paid"),
        ({"ts": "yesterday"}, "ts", 'text "yesterday"', "a time in epoch milliseconds"),
        ({"ts": 1.5}, "ts", "1.5", "a time in epoch milliseconds"),
        ({"ts": None}, "ts", "null", "a value"),
        ({"ts": 99_999_999_999_999}, "ts", "99999999999999", "between"),
        ({"itemInSession": -1}, "itemInSession", "-1", "between 0 and"),
        ({"sessionId": ""}, "sessionId", 'text ""', "a value"),
        ({"length": "NaN"}, "length", 'text "NaN"', "a number"),
        ({"page": {"a": 1}}, "page", "an object with 1 names", "one of"),
        ({"registration": "Monday"}, "registration", 'text "Monday"', "a time in epoch milliseconds"),
    ],
)  # fmt: skip
def test_an_event_that_breaks_the_contract_is_named_with_its_column(
    client: httpx.Client, changed: Row, column: str, found: str, expected: str
) -> None:
    named = problem(client, raw_row(), raw_row(1), raw_row(2, **changed))
    assert (named["index"], named["field"], named["found"]) == (2, column, found)
    assert named["expected"].startswith(expected)
    assert named["loc"] == ["body", 2, column]
    assert named["msg"].startswith(f"event 2: {column}: found {found}, expected ")


def test_a_column_that_one_event_lacks_is_named_as_nothing(client: httpx.Client) -> None:
    lacking = {name: value for name, value in raw_row(1).items() if name != "page"}
    named = problem(client, raw_row(), lacking)
    assert (named["index"], named["field"], named["found"], named["expected"]) == (1, "page", "nothing", "a value")


def test_a_needed_column_that_no_event_names_is_refused_as_by_ingestion(client: httpx.Client) -> None:
    without = [{name: value for name, value in row.items() if name not in ("length", "level")} for row in raw_rows(3)]
    named = problems(client, *without)
    assert [(p["field"], p["found"], p.get("index")) for p in named] == [
        ("level", "nothing in any event", None),
        ("length", "nothing in any event", None),
    ]
    # Named once, if only as null, it is there; so it is not by what lies after the cut-off.
    assert client.post(EVENTS, json=slice_of(raw_row(), raw_row(1, length=None))).status_code == 200
    lacking = {name: value for name, value in raw_row().items() if name != "length"}
    assert client.post(EVENTS, json=slice_of(lacking, raw_row(1, length=None))).status_code == 200
    assert problem(client, lacking, raw_row(1, day=9))["field"] == "length"


def test_faults_are_counted_and_a_few_listed(client: httpx.Client) -> None:
    body = client.post(EVENTS, json=slice_of(*(raw_row(n, page="x", level="y") for n in range(300)))).json()
    assert (len(body["detail"]), body["error_count"], body["detail"][3]["index"]) == (20, 600, 1)


@pytest.mark.parametrize(("event", "found"), [(5, "int"), ("x", "str"), (None, "null"), ([{}], "array")])
def test_an_event_that_is_no_object_is_named(client: httpx.Client, event: Any, found: str) -> None:
    named = problem(client, raw_row(), event)
    assert (named["index"], named["field"], named["found"]) == (1, "events", found)
    assert named["msg"].startswith("event 1: ")


def test_a_number_beyond_every_double_is_named(client: httpx.Client) -> None:
    content = json.dumps(slice_of(raw_row(), raw_row(1))).replace('"itemInSession": 1', '"itemInSession": 1e999')
    named = only_problem(client.post(EVENTS, content=content, headers=JSON))
    assert (named["index"], named["field"], named["found"]) == (1, "itemInSession", "Infinity")


@pytest.mark.parametrize("depth", [50, 900, 990, 995])
def test_nested_values_end_in_an_answer(client: httpx.Client, depth: int) -> None:
    """Each of three readers has its own idea of too deep."""
    nested = "[" * depth + "]" * depth
    for page in ("NextSong", "unheard of"):
        content = json.dumps(slice_of(raw_row(page=page) | {"deep": "@"})).replace('"@"', nested)
        assert client.post(EVENTS, content=content, headers=JSON).status_code in (200, 422)


def test_events_of_several_customers_are_refused_at_the_second_ones_first(client: httpx.Client) -> None:
    rows = [a_visitor(), *raw_rows(2), raw_row(5, userId="40"), raw_row(6), raw_row(7, userId="41")]
    named = problem(client, *rows)
    assert (named["index"], named["field"], named["found"]) == (3, "userId", 'text "40"')


def test_a_customer_is_the_same_as_text_or_number(client: httpx.Client) -> None:
    rows = [raw_row(n, userId=user) for n, user in enumerate(["39", 39, 39.0, " 39 "])]
    assert client.post(EVENTS, json=slice_of(*rows)).json()["events"]["used"] == 4


def test_events_of_nobody_are_refused(client: httpx.Client) -> None:
    named = problem(client, a_visitor(), a_visitor(1, user=None))
    assert (named["field"], named["found"]) == ("userId", "no customer in any event")


@pytest.mark.parametrize(
    ("rows", "as_of", "says"),
    [
        ([raw_row(), raw_row(1, page="Cancellation Confirmation")], AS_OF, "cancelled before 2018-11-03"),
        ([raw_row()], "2018-11-01", "no event of a customer before the cut-off"),
        ([raw_row()], "0001-01-01", "no event of a customer before the cut-off"),
        ([raw_row(registration=FIRST_MS + 5 * DAY_MS)], AS_OF, "registered on 2018-11-03 or later"),
    ],
)
def test_a_customer_whom_the_nightly_run_would_not_score_is_refused_with_the_reason(
    client: httpx.Client, rows: list[Row], as_of: str, says: str
) -> None:
    assert says in problem(client, *rows, as_of=as_of)["found"]


def test_who_cancels_later_is_scored_as_of_before(client: httpx.Client) -> None:
    rows = [raw_row(), raw_row(1, day=5, page="Cancellation Confirmation")]
    answer = client.post(EVENTS, json=slice_of(*rows)).json()
    assert answer["events"]["after_cutoff"] == 1


@pytest.mark.parametrize("as_of", ["2018-11-3", "20181103", "2018-W44-6", "tomorrow", 5, ["2018-11-03"], "", True])
def test_a_cut_off_that_is_no_date_is_refused(client: httpx.Client, as_of: Any) -> None:
    named = only_problem(client.post(EVENTS, json=slice_of(raw_row()) | {"as_of": as_of}))
    assert (named["field"], named["expected"]) == ("as_of", "a date as YYYY-MM-DD, tomorrow (UTC) at the latest")


def test_a_cut_off_is_tomorrow_at_the_latest(client: httpx.Client) -> None:
    today = datetime.now(UTC).date()
    assert client.post(EVENTS, json=slice_of(raw_row(), as_of=str(today + timedelta(days=1)))).status_code == 200
    assert problem(client, raw_row(), as_of=str(today + timedelta(days=3)))["field"] == "as_of"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty body"), (b"[]", "an empty array"), (b"5", "found 5"), (b"{}", "events: found nothing"),
        (b'{"events": {}}', "events: found an empty object"), (b'{"events": null}', "found null"),
        (b'{"events": []}', "found an empty array"), (b'{"events": [{}], "event": 1}', "event: found an unknown name"),
        (b'{"events": [{}], "events": [{}]}', "the name twice"), (b'{"events": [{"a": NaN}]}', "not JSON"),
        (b'{"events": [{"a": 1,}]}', "not JSON"), (b'{"events": [{}', "not JSON"), (b"\xff\xfe", "UTF-8"),
        (b'{"events": [{"a": "\xc3\x28"}]}', "UTF-8"), (b'{"events": ' + b"[" * 50_000, "nested"),
        (b'{"as_of": "2018-11-03", "as_of": "2018-11-04", "events": [{}]}', "the name twice"),
        (b'{"events": [{"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}]}", "nested"), (b'{"\\ud800": 1}', "body"),
    ],
)  # fmt: skip
def test_what_is_no_slice_is_refused_in_words(client: httpx.Client, content: bytes, says: str) -> None:
    answer = client.post(EVENTS, content=content, headers=JSON)
    assert answer.status_code == 422
    assert says in answer.json()["detail"][0]["msg"]


def test_a_byte_order_mark_is_passed_over(client: httpx.Client) -> None:
    content = json.dumps(slice_of(raw_row()), indent=2).encode("utf-8-sig")
    assert client.post(EVENTS, content=content, headers=JSON).status_code == 200


@pytest.mark.parametrize("value", ["'); drop table x; --", "\x00", "é\u2028🎵", "$.a", "x" * 50_000, '"\\'])
def test_any_text_is_an_id_and_nothing_else(client: httpx.Client, value: str) -> None:
    answer = client.post(EVENTS, json=slice_of(raw_row(userId=f"u{value}", sessionId=f"s{value}")))
    assert answer.status_code == 200, answer.text
    assert answer.json()["customer_id"] == f"u{value}"


def test_long_input_is_not_repeated(client: httpx.Client) -> None:
    answer = client.post(EVENTS, json=slice_of(raw_row(page="y" * 500_000)))
    assert answer.status_code == 422 and len(answer.content) < 3000


def test_too_many_events_and_too_many_bytes_are_refused(client: httpx.Client) -> None:
    named = only_problem(client.post(EVENTS, content=b'{"events": [' + b"{}," * MAX_EVENTS + b"{}]}", headers=JSON))
    assert (named["field"], named["found"]) == ("events", "an array of 50,001")
    named = only_problem(client.post(EVENTS, content=b" " * 16_000_001, headers=JSON), 413)
    assert named["expected"] == "at most 16,000,000 bytes"
    assert only_problem(client.post(EVENTS, content=b"{}", headers={"Content-Type": "text/plain"}), 415)


def test_fifty_thousand_events_are_answered(client: httpx.Client) -> None:
    rows = [{c: v for c, v in raw_row(n % 9000, day=n // 9000).items() if c != "userAgent"} for n in range(MAX_EVENTS)]
    columns = ("userId", "ts", "sessionId", "page", "level", "registration", "itemInSession", "length")
    answer = client.post(EVENTS, json=slice_of(*({c: row[c] for c in columns} for row in rows), as_of="2018-11-20"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["features"]["total_songs_played"] == MAX_EVENTS


def test_the_published_example_is_answered_and_described(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()["paths"][EVENTS]["post"]["requestBody"]["content"]
    example = described["application/json"]["example"]
    answer = client.post(EVENTS, json=example)
    assert answer.status_code == 200, answer.text
    assert answer.json()["events"] == {"read": 3, "used": 3, "without_customer": 0, "after_cutoff": 0}
    event = described["application/json"]["schema"]["properties"]["events"]["items"]
    assert set(event["properties"]) == set(example["events"][0])
    assert "NextSong" in event["properties"]["page"]["description"]


def test_purchases_are_scored_under_their_own_contract(served: Platform) -> None:
    settings = served.settings.model_copy(update={"contract": "transactions"})
    with running(settings) as client:
        eventually(lambda: client.get("/readyz").status_code == 200)
        described = client.get("/openapi.json").json()["paths"][EVENTS]["post"]["requestBody"]["content"]
        assert client.post(EVENTS, json=described["application/json"]["example"]).status_code == 200
        rows = [{"customer_id": "7", "date": f"2018-10-{n:02d}", "dollar_value": 9.5} for n in range(1, 13)]
        body = client.post(EVENTS, json=slice_of(*rows)).json()
        assert (body["features"]["total_sessions"], body["features"]["is_paid_user"]) == (12, 1)
        named = problem(client, *rows, rows[0] | {"dollar_value": "much"})
        assert (named["field"], named["expected"]) == ("dollar_value", "a number")


def test_without_a_model_the_answer_is_503(platform: Platform) -> None:
    with running(platform.settings) as client:
        answer = client.post(EVENTS, json=slice_of(raw_row()))
        assert answer.status_code == 503
        assert answer.headers["retry-after"]


def test_a_contract_that_is_not_there_is_said_at_the_start() -> None:
    with pytest.raises(BadInput, match="no source contract"):
        router(Settings(contract="unheard of", _env_file=None))  # type: ignore[call-arg]
