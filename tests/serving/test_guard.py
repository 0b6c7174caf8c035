"""The guard: who is refused and in what words, how much is at work at once, and what takes too long."""

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from churn.settings import Settings
from serving import log
from serving.guard import STORE_READS, Guard
from serving.keys import new_key
from serving.nearby import is_loopback, listens_nearby
from serving.protocol import BoundedHttp
from tests.serving import standing_in
from tests.serving.conftest import eventually

KEY = new_key()
WITH_KEY = {"X-API-Key": KEY.key}
PREDICT, BATCH = "/api/churn/predict", "/api/churn/batch_predict"


@dataclass(frozen=True)
class Behind:
    """A running application and its guard."""

    client: httpx.Client
    app: Starlette
    port: int

    @property
    def guard(self) -> Guard:
        guard: Guard = self.app.state.guard
        return guard

    def sends(self, text: str) -> socket.socket:
        """A connection on which that much was sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sendall(text.replace("\n", "\r\n").encode())
        return connection


@contextmanager
def behind(folder: Path, *, host: str = "127.0.0.1", batches: int = 8, **given: Any) -> Iterator[Behind]:
    """The stand-in behind a real uvicorn with our protocol, in a thread."""
    import uvicorn

    settings = Settings(home=folder, **given)
    app = standing_in.create_app(settings, batches=batches)
    config = uvicorn.Config(
        app, host=host, port=0, http=BoundedHttp, log_level="critical", access_log=False, timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://{host}:{port}", timeout=20, trust_env=False) as client:
            yield Behind(client, app, port)
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["error_count"] == len(body["detail"]) == 1
    found: dict[str, Any] = body["detail"][0]
    return found


def answer_on(connection: socket.socket) -> tuple[int, str]:
    """Status and all of the text, until the server closes."""
    with closing(connection):
        text = b""
        while part := connection.recv(65536):
            text += part
    return int(text.split()[1]) if text else 0, text.decode()


def in_process(app: Starlette, path: str) -> httpx.Response:
    """Without a server."""

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client:
            return await client.get(path)

    return asyncio.run(ask())


# -- keys --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with behind(tmp_path_factory.mktemp("locked"), api_keys=(KEY.digest,)) as running:
        yield running


@pytest.mark.parametrize(
    "path", ["/api/churn/health", "/metrics", "/api", "/nothing", "//api/churn/health", "/Static/"]
)
def test_a_key_is_asked_for(locked: Behind, path: str) -> None:
    answer = locked.client.get(path)
    assert answer.headers["www-authenticate"] == "Bearer"
    told = problem(answer, 401)
    assert (told["field"], told["found"], told["loc"]) == ("X-API-Key", "nothing", ["header", "X-API-Key"])


def test_a_wrong_key_is_refused_without_being_repeated(locked: Behind) -> None:
    answer = locked.client.get("/metrics", headers={"X-API-Key": "my-own-idea"})
    assert problem(answer, 401)["found"] == "a key that is not known"
    assert "my-own-idea" not in answer.text


@pytest.mark.parametrize("header", [WITH_KEY, {"Authorization": f"Bearer {KEY.key}"}])
def test_a_known_key_opens_in_both_headers(locked: Behind, header: dict[str, str]) -> None:
    assert locked.client.get("/api/churn/health", headers=header).status_code == 200
    assert locked.client.post(PREDICT, headers=header, content=b"{}").json()["bytes"] == 2


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/livez", "/readyz"])
def test_the_page_and_the_probes_are_open(locked: Behind, path: str) -> None:
    assert locked.client.get(path).status_code == 200


def test_a_browser_may_ask_for_leave_without_a_key(locked: Behind) -> None:
    """The application says what it makes of it; here there are no other origins."""
    asks = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    assert locked.client.options(PREDICT, headers=asks).status_code == 405


def test_with_keys_the_name_in_the_request_does_not_matter(locked: Behind) -> None:
    assert locked.client.get("/metrics", headers={**WITH_KEY, "Host": "churn.example"}).status_code == 200


# -- this machine only -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.7", False),
        ("::ffff:10.0.0.7", False), ("fe80::1%eth0", False), ("0.0.0.0", False), ("::", False), ("localhost", False),
    ],
)  # fmt: skip
def test_loopback_addresses_are_known_in_every_form(address: str, own: bool) -> None:
    assert is_loopback(address) is own


@pytest.mark.parametrize(("host", "near"), [("localhost", True), ("127.0.0.1", True), ("0.0.0.0", False), ("", False)])
def test_what_a_server_listens_on_is_near_only_when_all_of_it_is(host: str, near: bool) -> None:
    assert listens_nearby(host) is near


def _scope(server: tuple[str, int | None] | None, host: bytes = b"localhost") -> dict[str, Any]:
    return {
        "type": "http",
        "path": "/api/churn/health",
        "method": "GET",
        "server": server,
        "headers": [(b"host", host)],
    }


@pytest.mark.parametrize(
    ("server", "status"),
    [
        (("127.0.0.1", 8000), None), (("::1", 8000), None), (("::ffff:127.0.0.1", 8000), None),
        (("10.0.0.7", 8000), 403), (("::ffff:10.0.0.7", 8000), 403), (("fe80::1%eth0", 8000), 403),
        (("/run/churn.sock", None), None), (("testserver", 80), None), (None, 403),
    ],
)  # fmt: skip
def test_without_keys_only_this_machine_is_answered(server: Any, status: int | None, tmp_path: Path) -> None:
    refusal = Guard(Settings(home=tmp_path)).refusal(_scope(server))
    assert (refusal and refusal.status) == status


def _other_address() -> str | None:
    """An address of this machine that others could reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if is_loopback(address) else address


def test_a_connection_to_another_address_is_told_what_to_set(tmp_path: Path) -> None:
    host = _other_address()
    if host is None:
        pytest.skip("this machine has no address besides loopback; the rule itself is tested above")
    with behind(tmp_path, host=host) as running:
        for path in ("/api/churn/health", "/", "/livez"):
            told = problem(running.client.get(path), 403)
            assert told["field"] == "connection"
            assert "CHURN_API_KEYS" in told["expected"]
    with behind(tmp_path, host=host, api_keys=(KEY.digest,)) as running:
        assert running.client.get("/api/churn/health", headers=WITH_KEY).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("localhost:9000", 200), ("LOCALHOST.:1", 200), ("127.0.0.1", 200), ("[::1]:8000", 200),
        ("churn.localhost", 200), ("evil.example", 403), ("evil.example:8000", 403), ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403), ("10.0.0.7", 403), ("[fe80::1]", 403), ("", 403),
    ],
)  # fmt: skip
def test_a_page_whose_name_leads_to_this_machine_reads_nothing(opened: Behind, host: str, status: int) -> None:
    answer = opened.client.get("/api/churn/health", headers={"Host": host})
    assert answer.status_code == status
    if status == 403:
        assert problem(answer, 403)["field"] == "Host"


def test_a_client_in_the_same_process_is_answered(tmp_path: Path) -> None:
    assert in_process(standing_in.create_app(Settings(home=tmp_path)), "/api/churn/health").status_code == 200


# -- how much at once --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with behind(tmp_path_factory.mktemp("opened"), max_requests=4, batches=2) as running:
        yield running


def test_beyond_the_bound_callers_are_told_to_come_back_and_the_probes_answer(opened: Behind) -> None:
    with ThreadPoolExecutor(4) as pool:
        slow = [pool.submit(opened.client.get, "/api/churn/customers/c1?seconds=1") for _ in range(4)]
        eventually(lambda: opened.guard.at_work == 4)
        refused = opened.client.post(PREDICT, content=b"{}")
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert "at work" in refused.json()["detail"]
        assert opened.client.get("/livez").status_code == opened.client.get("/readyz").status_code == 200
        assert [answer.result().status_code for answer in slow] == [200] * 4
    assert opened.client.post(PREDICT, content=b"{}").json() == {"bytes": 2, "at_work": 1}
    eventually(lambda: opened.guard.at_work == 0)


@pytest.mark.parametrize("path", [BATCH, "/api/churn/predict/events"])
def test_batches_leave_room_for_the_others(opened: Behind, path: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(opened.client.post, f"{BATCH}?seconds=1", content=b"[]") for _ in range(2)]
        eventually(lambda: opened.guard.batches == 2)
        refused = opened.client.post(path, content=b"[]")
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert opened.client.post(PREDICT, content=b"{}").status_code == 200
        assert [answer.result().status_code for answer in slow] == [200] * 2
    assert opened.client.post(f"{path}?seconds=0", content=b"[]").status_code == 200
    eventually(lambda: opened.guard.batches == opened.guard.at_work == 0)


def test_a_client_that_goes_away_leaves_its_place(opened: Behind) -> None:
    gone = opened.sends(f"POST {PREDICT} HTTP/1.1\nHost: localhost\nContent-Length: 100\n\n{{")
    eventually(lambda: opened.guard.at_work == 1)
    gone.close()
    eventually(lambda: opened.guard.at_work == 0)


# -- what takes too long -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with behind(tmp_path_factory.mktemp("hurried"), request_seconds=0.4) as running:
        yield running


@pytest.mark.parametrize("path", [PREDICT, BATCH])
def test_a_body_that_does_not_come_is_given_up(hurried: Behind, path: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="serving"):
        status, text = answer_on(hurried.sends(f"POST {path} HTTP/1.1\nHost: localhost\nContent-Length: 100\n\n{{"))
    assert status == 408
    assert "connection: close" in text
    assert json.loads(text.partition("\r\n\r\n")[2])["detail"][0]["field"] == "body"
    eventually(lambda: hurried.guard.at_work == 0)
    assert [record.__dict__["waited_for"] for record in caplog.records] == ["the body"]


def test_a_body_that_drips_is_given_up_too(hurried: Behind) -> None:
    """Each byte is in time, the whole is not."""
    connection = hurried.sends(f"POST {PREDICT} HTTP/1.1\nHost: localhost\nContent-Length: 100\n\n")
    eventually(lambda: hurried.guard.at_work == 1)
    try:
        for _ in range(90):
            connection.sendall(b"x")
            time.sleep(0.02)
    except OSError:
        pass  # closed: that is what is looked for
    eventually(lambda: hurried.guard.at_work == 0)
    connection.close()


def test_an_answer_that_does_not_come_is_given_up_and_its_work_cancelled(
    hurried: Behind, caplog: pytest.LogCaptureFixture
) -> None:
    before = hurried.app.state.story.cancelled
    with caplog.at_level(logging.WARNING, logger="serving"):
        answer = hurried.client.get("/api/churn/customers/ada@example.org?seconds=60", headers={"X-API-Key": "secret"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["connection"] == "close"
    assert hurried.app.state.story.cancelled == before + 1
    eventually(lambda: hurried.guard.at_work == 0)
    assert hurried.client.post(PREDICT, content=b"{}").status_code == 200
    (line,) = [log.JsonLines().format(record) for record in caplog.records]
    assert json.loads(line)["waited_for"] == "the answer"
    assert not [secret for secret in ("ada", "seconds", "secret") if secret in line]


def test_work_in_a_thread_keeps_its_place_after_the_caller_was_answered(hurried: Behind) -> None:
    """A thread cannot be cancelled; bounds that forgot it would bound nothing."""
    before = hurried.app.state.story.finished
    assert hurried.client.get("/api/churn/in_a_thread?seconds=1.5").status_code == 503
    assert (hurried.guard.at_work, hurried.app.state.story.finished) == (1, before)
    eventually(lambda: hurried.guard.at_work == 0)
    assert hurried.app.state.story.finished == before + 1


def test_an_answer_that_does_not_end_is_broken_off(hurried: Behind) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        hurried.client.get("/api/churn/endless")
    eventually(lambda: hurried.guard.at_work == 0)


# -- ending ------------------------------------------------------------------------------------------------------------


def test_while_draining_every_answer_closes_its_connection(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    app = standing_in.create_app(settings)
    assert "connection" not in in_process(app, "/api/churn/health").headers
    app.state.guard.draining = True
    for path, status in (("/api/churn/health", 200), ("/readyz", 503), ("/nothing", 404)):
        answer = in_process(app, path)
        assert (answer.status_code, answer.headers["connection"]) == (status, "close")
    app.state.guard.at_work = settings.max_requests
    answer = in_process(app, "/nothing")
    assert (answer.status_code, answer.headers["connection"]) == (503, "close")


# -- heads -------------------------------------------------------------------------------------------------------------


def test_headers_without_end_are_refused(opened: Behind) -> None:
    connection = opened.sends("GET /livez HTTP/1.1\nHost: localhost\n")
    line = b"X-More: " + b"x" * 8000 + b"\r\n"
    text = b""
    try:
        for _ in range(20):
            connection.sendall(line)
            time.sleep(0.01)
    except OSError:
        pass  # closed while we were sending
    else:
        text = connection.recv(65536)
    connection.close()
    assert not text or b"400 Bad Request" in text
    assert opened.client.get("/livez").status_code == 200


def test_a_head_that_does_not_come_closes_the_connection(opened: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.protocol.HEAD_SECONDS", 0.3)
    for start in ("", "GET /livez HTTP/1.1\nHost: local"):
        assert answer_on(opened.sends(start)) == (0, "")
    connection = opened.sends("GET /livez HTTP/1.1\n")
    with pytest.raises(OSError):
        for _ in range(500):  # each piece is in time, the whole is not
            connection.sendall(b"X-More: x\r\n")
            time.sleep(0.02)
    connection.close()


def test_a_head_in_pieces_is_put_together(opened: Behind) -> None:
    connection = opened.sends("GET /livez HT")
    time.sleep(0.05)
    connection.sendall(b"TP/1.1\r\nHost: loc")
    time.sleep(0.05)
    connection.sendall(b"alhost\r\nConnection: close\r\n\r\n")
    assert answer_on(connection)[0] == 200


def _asked(path: str) -> dict[str, Any]:
    headers = [(b"host", b"127.0.0.1")]
    return {"type": "http", "path": path, "method": "GET", "headers": headers, "server": ("127.0.0.1", 8000)}


def test_a_store_that_hangs_takes_no_more_than_its_share_of_the_service(tmp_path: Path) -> None:
    guard = Guard(Settings(home=tmp_path, _env_file=None))  # type: ignore[call-arg]
    guard.at_work = guard.store_reads = STORE_READS
    for path in ("/api/churn/top", "/api/churn/top.csv", "/api/churn/customers/1", "/api/churn/profit"):
        refusal = guard.refusal(_asked(path))
        assert refusal is not None and refusal.status == 503, path
    for path in (PREDICT, "/api/churn/health", "/metrics"):
        assert guard.refusal(_asked(path)) is None, path


def test_health_and_metrics_answer_however_much_is_at_work(tmp_path: Path) -> None:
    guard = Guard(Settings(home=tmp_path, max_requests=1, _env_file=None))  # type: ignore[call-arg]
    guard.at_work = 1
    assert guard.refusal(_asked(PREDICT)) is not None
    for path in ("/api/churn/health", "/metrics", "/livez", "/readyz"):
        assert guard.refusal(_asked(path)) is None, path


def test_without_keys_a_page_of_another_site_posts_nothing(tmp_path: Path) -> None:
    post = _asked(PREDICT) | {"method": "POST"}
    crossing = post | {"headers": [*post["headers"], (b"sec-fetch-site", b"cross-site")]}
    own = post | {"headers": [*post["headers"], (b"sec-fetch-site", b"same-origin")]}
    guard = Guard(Settings(home=tmp_path, _env_file=None))  # type: ignore[call-arg]
    refusal = guard.refusal(crossing)
    assert refusal is not None and refusal.status == 403
    assert guard.refusal(own) is None and guard.refusal(crossing | {"method": "GET"}) is None
    named = Settings(home=tmp_path, cors_origins=("https://shop.example",), _env_file=None)  # type: ignore[call-arg]
    assert Guard(named).refusal(crossing) is None
