"""The Python client against the real service, and against a server that has bad moments."""

import doctest
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import FrozenInstanceError
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import numpy as np
import pytest

from churn.client import (
    ApiError,
    Busy,
    ChurnClient,
    InvalidRequest,
    NotFound,
    Prediction,
    Problem,
    Unauthorised,
    Unreachable,
)
from churn.client import api as calls
from churn.core.features import FEATURES
from churn.core.reasons import Reason
from churn.io.registry import Models
from serving.keys import new_key
from tests.raw_log import raw_rows
from tests.serving.conftest import CUSTOMER, FULL_CUSTOMER, Platform, eventually, platform_in, random_customers, running

TODAY = datetime.now(UTC).date()


@pytest.fixture
def api(client: httpx.Client) -> Iterator[ChurnClient]:
    with ChurnClient(str(client.base_url)) as api:
        yield api


# -- what it answers ---------------------------------------------------------------------------------------------------


def test_a_customer_is_scored_with_version_and_model(api: ChurnClient, client: httpx.Client) -> None:
    expected = client.post("/api/churn/predict", json=CUSTOMER).json()
    assert api.predict(CUSTOMER) == Prediction(**expected, model_version="1", model="core")
    assert api.predict(FULL_CUSTOMER).model == "full"
    with pytest.raises(FrozenInstanceError):
        api.predict(CUSTOMER).churn_probability = 1.0  # type: ignore[misc]


def test_numbers_of_numpy_are_numbers(api: ChurnClient) -> None:
    as_numpy = {name: np.float32(v) if isinstance(v, float) else np.int64(v) for name, v in CUSTOMER.items()}
    assert api.predict(as_numpy | {"thumbs_up_ratio": 0.2, "thumbs_down_ratio": 0.05}) == api.predict(CUSTOMER)


def test_many_customers_are_scored_in_order_however_many_requests_it_takes(
    api: ChurnClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "_AT_ONCE", 7)
    customers = random_customers(20, seed=5).to_dict("records")
    assert api.predict_many(iter(customers)) == [api.predict(customer) for customer in customers]
    assert api.predict_many([]) == []
    assert {score.model for score in api.predict_many([CUSTOMER, FULL_CUSTOMER])} == {"mixed"}


def test_a_score_is_explained(api: ChurnClient, client: httpx.Client) -> None:
    found = api.explain(CUSTOMER, reasons=3)
    body = client.post("/api/churn/explain", params={"reasons": 3}, json=CUSTOMER).json()
    assert [vars(reason) for reason in found.reasons] == body["reasons"] and len(found.reasons) == 3
    assert (found.churn_probability, found.model, found.model_version) == (body["churn_probability"], "core", "1")
    total = found.average_log_odds + sum(r.contribution for r in found.reasons) + found.others
    assert total == pytest.approx(found.log_odds)


@pytest.mark.parametrize("as_of", ["2018-11-03", date(2018, 11, 3)])
def test_raw_events_are_scored(api: ChurnClient, as_of: date | str) -> None:
    found = api.predict_events(raw_rows(20), as_of)
    assert (found.customer_id, found.as_of, found.model, found.events["used"]) == ("39", date(2018, 11, 3), "full", 20)
    assert found.features["total_songs_played"] == 20
    assert len(found.reasons) == 3 and found.model_version == "1"


def test_events_without_a_cut_off_are_those_until_today(api: ChurnClient) -> None:
    before = datetime.now(UTC).date()
    assert api.predict_events(raw_rows(2)).as_of in (before, datetime.now(UTC).date())


def test_health_model_and_features_are_told(api: ChurnClient, client: httpx.Client) -> None:
    health, model = api.health(), api.model()
    assert (health.status, health.model_loaded, health.model_version) == ("healthy", True, "1")
    assert health.timestamp.tzinfo is not None and health.details["registry_reachable"] is True
    assert (model.model_version, set(model.models)) == ("1", {"core", "full"})
    assert model.features == client.get("/api/churn/model/info").json()["features"]
    assert [(f.name, f.required) for f in api.features()] == [(f.name, f.name in CUSTOMER) for f in FEATURES]


ODD = ["a/b c?d=e&f#g%41", "..", ".", "Zoë 李 🎧", "a%2Fb", "100 %", "tab\there"]


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory, served: Platform) -> Iterator[ChurnClient]:
    """Tonight's list with customers whose ids are hard to put into a path."""
    platform = platform_in(tmp_path_factory.mktemp("client"), mlflow_tracking_uri=served.settings.tracking_uri)
    p = np.linspace(0.9, 0.3, len(ODD))
    because = [(Reason("total_sessions", 12.0, 3.0, 0.5, "12 sessions, usually 3"),)] * len(ODD)
    with closing(platform.book) as book:
        book.publish(TODAY, "3", ODD, p, (p >= 0.5).astype(np.int64), threshold=0.5, reasons=because)
    with running(platform.settings) as client, ChurnClient(str(client.base_url)) as api:
        yield api


def test_tonights_list_is_filtered(listed: ChurnClient) -> None:
    found = listed.top(2)
    assert [customer.customer_id for customer in found.customers] == ODD[:2]
    assert (found.as_of, found.model_version, found.matching, found.stale) == (TODAY, "3", len(ODD), False)
    assert found.published_at is not None and found.published_at.tzinfo is not None
    assert found.customers[0].reasons[0].text == "12 sessions, usually 3"
    assert listed.top(minimum=0.85).matching == 1
    assert listed.top(decision=0).matching == listed.top().matching - listed.top(decision=1).matching > 0
    assert listed.top(reason="is_paid_user").customers == ()
    assert [customer.customer_id for customer in listed.top(search="zo").customers] == ["Zoë 李 🎧"]


@pytest.mark.parametrize("customer_id", ODD)
def test_a_customer_is_found_whatever_the_id(listed: ChurnClient, customer_id: str) -> None:
    found = listed.customer(customer_id)
    assert (found.customer_id, found.as_of, found.threshold, found.model_version) == (customer_id, TODAY, 0.5, "3")


def test_before_the_first_night_the_list_is_empty(scored: Platform) -> None:
    with running(scored.settings) as client, ChurnClient(str(client.base_url)) as api:
        found = api.top()
        assert (found.as_of, found.model_version, found.customers) == (None, None, ())


@pytest.mark.slow
def test_a_customers_key_decides_during_a_rollout(
    tmp_path: Any, served: Platform, first_models: Models, second_models: Models
) -> None:
    platform = platform_in(tmp_path, challenger_share=1.0)
    platform.promote(first_models)
    platform.registry.stage(platform.register(second_models), "a test")
    with running(platform.settings) as client, ChurnClient(str(client.base_url)) as api:
        eventually(lambda: api.health().details["challenger_version"] == "2")
        assert api.predict(CUSTOMER).model_version == "1"
        assert api.predict(CUSTOMER, customer_key="somebody").model_version == "2"
        assert api.predict(CUSTOMER, customer_key="Zoë 李").model_version == "2"


# -- what it raises ----------------------------------------------------------------------------------------------------


def test_what_is_wrong_with_a_customer_is_named(api: ChurnClient) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        api.predict(CUSTOMER | {"total_sessions": -3})
    expected = Problem("total_sessions", "-3", "a whole number from 0 to 1,000,000,000")
    assert (refusal.value.status, refusal.value.problems, refusal.value.count) == (422, (expected,), 1)
    assert str(refusal.value) == "422: total_sessions: found -3, expected a whole number from 0 to 1,000,000,000"
    with pytest.raises(InvalidRequest, match="total_sessions: found NaN"):
        api.predict(CUSTOMER | {"total_sessions": float("nan")})


def test_a_wrong_customer_among_many_is_named_by_its_place_in_the_whole_list(
    api: ChurnClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "_AT_ONCE", 7)
    customers = [CUSTOMER] * 17 + [{}]
    with pytest.raises(InvalidRequest) as refusal:
        api.predict_many(customers)
    assert {problem.index for problem in refusal.value.problems} == {17}
    assert "17: total_sessions: found nothing" in str(refusal.value)


def test_more_problems_than_are_listed_are_counted(api: ChurnClient) -> None:
    with pytest.raises(InvalidRequest, match="; 6 more") as refusal:
        api.predict_many([{}, {}])
    assert (len(refusal.value.problems), refusal.value.count) == (20, 26)


def test_a_body_that_is_too_large_is_an_invalid_request(api: ChurnClient) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        api.predict(CUSTOMER | {"x" * 70_000: 1})
    assert (refusal.value.status, refusal.value.problems[0].field) == (413, "body")


def test_a_customer_without_a_score_is_not_found(api: ChurnClient) -> None:
    for unknown in ("nobody", "", "no/body"):
        with pytest.raises(NotFound, match="404: no score of this customer"):
            api.customer(unknown)


def test_a_key_opens_and_none_does_not(scored: Platform) -> None:
    key = new_key()
    settings = scored.settings.model_copy(update={"api_keys": (key.digest,)})
    with running(settings) as client:
        url = str(client.base_url)
        with ChurnClient(url, api_key=f"{key.key}\n") as api:  # as read from a file
            assert api.health().status
        for wrong in (None, "my-own-idea"):
            with ChurnClient(url, api_key=wrong) as api, pytest.raises(Unauthorised, match="X-API-Key") as refusal:
                api.health()
            assert refusal.value.status == 401
            assert "my-own-idea" not in str(refusal.value)


def test_a_key_that_is_none_is_not_shown() -> None:
    with pytest.raises(ValueError) as refusal:
        ChurnClient(api_key="two\nlines")
    assert "lines" not in str(refusal.value)


# -- a server with bad moments -----------------------------------------------------------------------------------------

Answer = tuple[int, dict[str, str], str] | None
"""Status, headers and body; None: the connection is closed without an answer."""
BUSY = (503, {"Retry-After": "0"}, '{"detail": "too many requests at work; try again in a second"}')
SCORE = {"churn_prediction": 0, "churn_probability": 0.25, "no_churn_probability": 0.75}
SCORED = (200, {"X-Model-Version": "7", "X-Model": "core"}, json.dumps(SCORE | {"something": "of a newer API"}))


@contextmanager
def answering(*answers: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives these answers one after the other, the last one again and again; and what it was sent."""
    left, came = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            came.append(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
            answer = left.pop(0) if len(left) > 1 else left[0]
            if answer is None:
                self.close_connection = True
                return
            status, headers, body = answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", came
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("bad", [BUSY, (429, {"Retry-After": "0"}, "{}"), (503, {}, "<html>"), None])
def test_a_bad_moment_passes_unnoticed(bad: Answer) -> None:
    with answering(bad, SCORED) as (url, came), ChurnClient(url) as api:
        assert api.predict(CUSTOMER) == Prediction(**SCORE, model_version="7", model="core")
    assert [json.loads(body) for body in came] == [CUSTOMER] * 2


@pytest.mark.parametrize("retries", [0, 2])
def test_what_stays_busy_is_raised_after_so_many_retries(retries: int) -> None:
    with (
        answering(BUSY) as (url, came),
        ChurnClient(url, retries=retries) as api,
        pytest.raises(Busy, match="503: too many requests at work") as busy,
    ):
        api.predict(CUSTOMER)
    assert (busy.value.retry_after, len(came)) == (0.0, retries + 1)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, without waiting."""
    asked: list[float] = []
    monkeypatch.setattr(calls, "sleep", asked.append)
    return asked


def test_it_waits_as_long_as_it_is_told(waits: list[float]) -> None:
    date_soon = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    with (
        answering((429, {"Retry-After": "7"}, "{}"), (503, {"Retry-After": date_soon}, "{}"), SCORED) as (url, _),
        ChurnClient(url) as api,
    ):
        api.predict(CUSTOMER)
    assert waits[0] == 7
    assert 1 < waits[1] <= 20


def test_untold_it_waits_longer_each_time(waits: list[float]) -> None:
    with (
        answering((503, {"Retry-After": "soon"}, "{}")) as (url, _),
        ChurnClient(url, retries=3) as api,
        pytest.raises(Busy) as busy,
    ):
        api.health()
    assert busy.value.retry_after is None
    assert len(waits) == 3 and 0.1 < waits[0] < waits[1] < waits[2] < 1.1


def test_it_does_not_wait_for_ever(waits: list[float]) -> None:
    with (
        answering((503, {"Retry-After": "3600"}, "{}")) as (url, came),
        ChurnClient(url) as api,
        pytest.raises(Busy) as busy,
    ):
        api.health()
    assert (busy.value.retry_after, waits, len(came)) == (3600, [], 1)


def test_nobody_there_is_said_after_the_retries(waits: list[float]) -> None:
    with answering(None) as (url, _):
        pass
    with ChurnClient(url, retries=2) as api, pytest.raises(Unreachable, match="ConnectError") as away:
        api.health()
    assert (away.value.status, len(waits)) == (None, 2)


def test_what_takes_too_long_is_not_asked_for_again() -> None:
    with (
        answering((200, {"Content-Length": "100"}, "{")) as (url, came),
        ChurnClient(url, timeout=0.3) as api,
        pytest.raises(Unreachable, match="ReadTimeout"),
    ):
        api.health()
    assert len(came) == 1


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ((200, {}, "<html>a page of a proxy</html>"), 200), ((200, {}, "[]"), 200), ((200, {}, "{}"), 200),
        ((302, {"Location": "https://login.example"}, ""), 302), ((500, {}, '{"detail": "it is in the log"}'), 500),
        ((502, {}, "<html>Bad gateway</html>"), 502), ((422, {}, "[]"), 422), ((408, {}, '{"detail": []}'), 408),
    ],
)  # fmt: skip
def test_any_other_answer_is_an_error_with_its_status(answer: Answer, status: int) -> None:
    with answering(answer) as (url, came), ChurnClient(url) as api, pytest.raises(ApiError) as error:
        api.health()
    assert (type(error.value), error.value.status, len(came)) == (ApiError, status, 1)


# -- what it is made of ------------------------------------------------------------------------------------------------


def test_importing_it_brings_httpx_and_nothing_else_of_the_platform() -> None:
    script = "import sys, churn.client; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "httpx" in loaded
    assert not loaded & {"mlflow", "xgboost", "pandas", "numpy", "sqlalchemy", "fastapi", "pydantic", "serving"}


def test_the_example_in_its_documentation_runs(client: httpx.Client) -> None:
    text = ChurnClient.__doc__ or ""
    assert "http://127.0.0.1:8000" in text
    example = doctest.DocTestParser().get_doctest(
        text.replace("http://127.0.0.1:8000", str(client.base_url)), {"ChurnClient": ChurnClient}, "example", None, 0
    )
    said: list[str] = []
    ran = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert ran.attempted == 3 and ran.failed == 0, "".join(said)
