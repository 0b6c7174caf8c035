"""The service keeps to its OpenAPI document whatever it is asked: schemathesis makes requests of it, right and wrong.

All its checks are on, with one exception: that a request which fits the schema is answered is not asked of
``predict/events``. A JSON schema cannot say what the source contract asks of a log: that its events are one customer's,
for example, who has not cancelled.
"""

import shutil
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from schemathesis.engine import events, from_schema
from schemathesis.openapi import from_dict

from churn.io.checks import Checks
from churn.settings import Settings
from serving.guard import BATCHES
from serving.keys import new_key
from tests.serving.conftest import Platform, eventually, platform_in, running
from tests.serving.test_lists import REASONS, SCORES, TODAY, publish

HEALTH = "/api/churn/health"
EVERYWHERE = ["2xx", "4xx"]


@schemathesis.check
def headers_say_what_the_document_does_not(
    _: Any, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    assert response.headers["x-content-type-options"] == ["nosniff"]
    if response.status_code in (429, 503):
        assert int(response.headers["retry-after"][0]) >= 1
    if response.status_code == 200 and case.method == "POST":
        assert response.headers["x-model-version"] == ["1"]
        assert response.headers["x-model"][0] in ("core", "full", "mixed")


def asked(client: httpx.Client, examples: int, phases: Sequence[str], statuses: Sequence[str]) -> dict[str, set[int]]:
    """Ask every operation that the document names; what each answered. Fails where an answer is not as it should be."""
    chosen = {phase: {"enabled": phase in phases} for phase in ("examples", "coverage", "fuzzing", "stateful")}
    config = {
        "base-url": str(client.base_url),
        "seed": 1,
        "cache": {"enabled": False},
        "generation": {"max-examples": examples, "deterministic": True, "database": "none"},
        "phases": chosen,
        "checks": {"not_a_server_error": {"expected-statuses": list(statuses)}},
        "operations": [
            {"include-path": "/api/churn/predict/events", "checks": {"positive_data_acceptance": {"enabled": False}}}
        ],
    }
    schema = from_dict(client.get("/openapi.json").json(), config=schemathesis.Config.from_dict(config))
    answered: dict[str, Counter[int]] = {operation.label: Counter() for operation in operations(client)}
    wrong: list[str] = []
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            wrong.append(repr(getattr(event, "value", None) or getattr(event, "exception", None)))
        elif isinstance(event, events.ScenarioFinished):
            wrong += failures(event)
            for interaction in event.recorder.interactions.values():
                assert interaction.response is not None
                answered[event.recorder.label][interaction.response.status_code] += 1
    assert not wrong, "\n\n".join(wrong)
    print(sum(map(Counter.total, answered.values())), "requests", {k: dict(v) for k, v in answered.items()})
    return {label: set(counts) for label, counts in answered.items()}


def failures(event: events.ScenarioFinished) -> list[str]:
    infos = [node.failure_info for nodes in event.recorder.checks.values() for node in nodes if node.failure_info]
    return [f"{info.failure.title}: {info.failure.message}\n{info.code_sample}" for info in infos]


def operations(client: httpx.Client) -> list[Any]:
    found: Any = from_dict(client.get("/openapi.json").json())
    return [result.ok() for result in found.get_all_operations()]


@contextmanager
def ready(settings: Settings) -> Iterator[httpx.Client]:
    with running(settings) as client:
        eventually(lambda: client.get("/readyz").status_code == 200)
        yield client


# -- a service that has everything -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, served: Platform) -> Iterator[httpx.Client]:
    """With a model, a night's scores with reasons, and nightly checks."""
    platform = platform_in(tmp_path_factory.mktemp("whole"), mlflow_tracking_uri=served.settings.tracking_uri)
    publish(platform, SCORES, REASONS)
    realised = {"roc_auc": 0.7, "roc_auc_low": 0.66, "roc_auc_high": 0.74, "precision": float("nan")}
    detail = {"drifted": ["total_sessions"], "expected": {"roc_auc": 0.7}, "realised": realised, "limit": 0.6}
    with closing(Checks(platform.settings.score_database)) as checks:
        checks.record(TODAY, "drift", "1", alarm=True, summary="1 feature", detail=detail)
        checks.record(TODAY, "performance", "1", alarm=False, summary="as usual", detail=detail)
        checks.record(TODAY, "early_warning", "1", alarm=False, summary="none", detail=detail)
    with ready(platform.settings) as client:
        yield client


def test_answers_are_as_the_document_says(whole: httpx.Client) -> None:
    answered = asked(whole, 10, ["examples", "fuzzing"], EVERYWHERE)
    assert not [label for label, statuses in answered.items() if 200 not in statuses]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_thousands_of_answers_are_as_the_document_says(whole: httpx.Client) -> None:
    answered = asked(whole, 500, ["examples", "coverage", "fuzzing"], EVERYWHERE)
    assert not [label for label, statuses in answered.items() if 200 not in statuses]


# -- a service that has nothing ----------------------------------------------------------------------------------------


def test_without_a_model_and_scores_it_answers_503_as_the_document_says(tmp_path: Path, empty_mlflow: Path) -> None:
    (tmp_path / "folder").mkdir()
    store = shutil.copy(empty_mlflow, tmp_path / "mlflow.db")  # what is asked is told to MLflow
    away = {"database_url": f"sqlite:///{tmp_path}/folder", "mlflow_tracking_uri": f"sqlite:///{store}"}
    with running(platform_in(tmp_path, **away).settings) as client:
        eventually(lambda: client.get(HEALTH).json()["registry_reachable"])
        answered = asked(client, 3, ["examples", "fuzzing"], [*EVERYWHERE, "503"])
    well = {label.split()[1] for label, statuses in answered.items() if 200 in statuses}
    assert well == {"/livez", "/metrics", HEALTH, "/api/churn/features"}
    assert all(503 in statuses for label, statuses in answered.items() if label.split()[1] not in well)


# -- what the guard answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "headers", "status"),
    [
        ({"api_keys": (new_key().digest,)}, {}, 401),
        ({}, {"Host": "churn.example"}, 403),
        ({"request_seconds": 0.5}, {"Transfer-Encoding": "chunked"}, 408),
        ({}, {}, 429),
        ({"max_requests": 1}, {}, 503),
    ],
)
def test_the_document_says_what_the_guard_may_answer(
    scored: Platform, settings: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    at_work = {429: BATCHES, 503: 1}.get(status, 0)
    with ready(scored.settings.model_copy(update=settings)) as client:
        answered, undocumented = [], []
        described = operations(client)
        with batches_at_work(client, at_work):
            for operation in described:
                late = never() if status == 408 and operation.method == "post" else None
                answer = client.request(operation.method, operation.path, headers=headers, content=late)
                if answer.status_code == status:
                    answered.append(operation.label)
                    answer.request = httpx.Request(operation.method, answer.url)  # without the body that was not read
                    documented = str(status) in operation.definition.raw["responses"]
                    if not documented or not operation.is_valid_response(answer):
                        undocumented.append(operation.label)
    assert len(answered) >= 2
    assert undocumented == []


def never() -> Iterator[bytes]:
    """A body that comes to its end too late."""
    yield b"["
    time.sleep(0.6)
    yield b"]"


@contextmanager
def batches_at_work(client: httpx.Client, count: int) -> Iterator[None]:
    """So many whose bodies are waited for."""
    line, headers = b"POST /api/churn/batch_predict HTTP/1.1", (b"Host: localhost", b"Content-Length: 9")
    head = b"\r\n".join([line, *headers, b"Expect: 100-continue", b"", b""])
    with ExitStack() as connections:
        for _ in range(count):
            caller = connections.enter_context(socket.create_connection((client.base_url.host, client.base_url.port)))
            caller.sendall(head)
            assert caller.recv(12) == b"HTTP/1.1 100"
        yield
