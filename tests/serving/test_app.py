"""What surrounds the endpoints: documentation offline, headers, cross-origin rules, the page's files, the log."""

import asyncio
import json
import logging
import re
import socket
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest

from churn.core.features import FEATURES
from churn.settings import Settings
from serving import log
from serving.app import create_app
from tests.serving.conftest import CUSTOMER, NAMES, Platform, running

ORIGIN = {"Origin": "https://shop.example"}


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/"])
def test_pages_ask_no_other_host(client: httpx.Client, path: str) -> None:
    page = client.get(path)
    assert page.status_code == 200
    assert not re.findall(r"""(?:src|href|url)\s*[=(:]\s*["']?(?:https?:)?//[^"']*""", page.text)
    local = re.findall(r'(?:src|href)="(/[^"#]+)"', page.text)
    assert local
    for asset in local:
        assert client.get(asset).status_code == 200, asset


def test_redocs_script_brings_no_picture_from_outside(client: httpx.Client) -> None:
    assert "cdn.redoc.ly" not in client.get("/redoc/redoc.standalone.js").text


def test_the_schema_describes_a_customer_from_the_feature_list(client: httpx.Client) -> None:
    spec = client.get("/openapi.json").json()
    body = spec["paths"]["/api/churn/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert body["example"] == CUSTOMER
    assert body["schema"]["required"] == NAMES
    assert list(body["schema"]["properties"]) == [f.name for f in FEATURES]
    for feature in FEATURES:
        told = body["schema"]["properties"][feature.name]
        assert (told["minimum"], told["maximum"]) == (feature.minimum, feature.maximum)
        assert feature.meaning in told["description"]
    batch = spec["paths"]["/api/churn/batch_predict"]["post"]["requestBody"]["content"]["application/json"]
    assert batch["schema"]["items"] == body["schema"]
    for path, operations in spec["paths"].items():
        for operation in operations.values():
            assert operation["summary"] and operation["description"], path
            assert all(body["schema"] for body in operation["responses"]["200"]["content"].values()), path


def test_every_answer_carries_security_headers(client: httpx.Client) -> None:
    for path in ("/", "/docs", "/static/app.js", "/api/churn/health", "/nothing"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'self'" in headers["content-security-policy"]
    assert "unsafe-inline" not in client.get("/").headers["content-security-policy"]
    assert client.get("/api/churn/health").headers["cache-control"] == "no-store"


def test_no_origin_may_call_by_default(client: httpx.Client) -> None:
    assert "access-control-allow-origin" not in client.get("/api/churn/health", headers=ORIGIN).headers


def test_the_origins_of_the_settings_may_call(scored: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHURN_CORS_ORIGINS", "https://shop.example, https://other.example")
    assert Settings().cors_origins == ("https://shop.example", "https://other.example")
    with running(scored.settings.model_copy(update={"cors_origins": Settings().cors_origins})) as client:
        asks = {**ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        allowed = client.options("/api/churn/predict", headers=asks)
        assert allowed.headers["access-control-allow-origin"] == ORIGIN["Origin"]
        assert "POST" in allowed.headers["access-control-allow-methods"]
        refused = client.get("/api/churn/health", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in refused.headers


def test_the_log_is_json_lines_without_bodies(
    client: httpx.Client, served: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="serving"):
        client.post("/api/churn/predict", json={**CUSTOMER, "customer": "ada@example.org"})
    line = log.JsonLines().format(logging.makeLogRecord({"msg": "serving %s", "args": ("x",), "model_version": "3"}))
    assert json.loads(line)["message"] == "serving x"
    assert json.loads(line)["model_version"] == "3"
    assert not [r for r in caplog.records if "ada@" in log.JsonLines().format(r)]


def test_uvicorn_starts_the_factory_at_once_and_ends_on_a_signal(served: Platform) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--factory", "serving.app:create_app", "--port", str(port)]
    process = subprocess.Popen(command, env=_environment(served), stderr=subprocess.PIPE, text=True)
    try:
        health = _first_answer(f"http://127.0.0.1:{port}/api/churn/health")
        assert health.status_code == 200
        deadline = time.monotonic() + 30
        while not httpx.get(f"http://127.0.0.1:{port}/api/churn/health", trust_env=False).json()["model_loaded"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.terminate()
        _, errors = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert '"serving a new model"' in errors
    assert "Traceback" not in errors
    assert process.returncode in (0, -15)


def _environment(platform: Platform) -> dict[str, str]:
    import os

    return {**os.environ, "CHURN_HOME": str(platform.settings.data_home), "MLFLOW_TRACKING_URI": ""}


def _first_answer(url: str) -> httpx.Response:
    deadline = time.monotonic() + 30
    while True:
        try:
            return httpx.get(url, trust_env=False)
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_an_error_nobody_expected_is_an_answer_with_its_headers(
    scored: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(scored.settings)

    @app.get("/api/churn/broken")
    async def broken() -> None:
        raise RuntimeError("a secret of the inside")

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get("/api/churn/broken")

    answer = asyncio.run(asked())
    assert (answer.status_code, answer.json()) == (500, {"detail": "the service failed; the cause is in its log"})
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert "a secret of the inside" in caplog.text


def test_everything_in_the_document_has_an_example(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]

    def shown(schema: dict[str, Any]) -> bool:
        if "$ref" in schema:
            return shown(schemas[schema["$ref"].rpartition("/")[2]])
        if {"example", "examples", "const", "enum", "default"} & set(schema):
            return True
        if schema.get("format") == "binary":
            return bool(schema["description"])  # bytes cannot be written into the document
        if schema.get("type") == "array":
            return shown(schema["items"])
        if "anyOf" in schema:
            return any(shown(one) for one in schema["anyOf"] if one.get("type") != "null")
        return bool(schema.get("properties")) and all(map(shown, schema["properties"].values()))

    bodies = [
        (f"{method} {path}", body)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for part in [operation.get("requestBody", {}), *operation["responses"].values()]
        for body in part.get("content", {}).values()
    ]
    assert len(bodies) > 60
    assert [name for name, body in bodies if "example" not in body and not shown(body["schema"])] == []
