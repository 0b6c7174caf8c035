"""Bodies that nobody would send on purpose: each is answered in JSON with what is wrong, and none stays in memory."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from churn.io.contracts import contract_of
from serving import event_schemas
from serving.bodies import BATCH_LIMIT
from serving.event_slices import BODY_LIMIT
from tests.serving.conftest import CUSTOMER, FULL_CUSTOMER, Platform, eventually, platform_in
from tests.serving.test_server import started

PREDICT, BATCH, EXPLAIN, EVENTS = (
    f"/api/churn/{name}" for name in ("predict", "batch_predict", "explain", "predict/events")
)
PATHS = (PREDICT, BATCH, EXPLAIN, EVENTS)
SCORE = {"churn_prediction", "churn_probability", "no_churn_probability"}
PROBLEM = {"field", "found", "expected", "loc", "msg"}
MB = 1024 * 1024


# -- what is sent ------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=()), max_size=20) | st.sampled_from(
    [*FULL_CUSTOMER, "events", "as_of"]
)
NUMBERS = st.integers(-(10**400), 10**400) | st.floats()
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=20,
)
PIECES = st.binary(max_size=8) | st.sampled_from(
    [
        b"", b"1e999", b"-1e-999", b"NaN", b"-Infinity", b"9" * 5000, b"0." + b"3" * 5000, b"-0", b"007", b"0x10",
        b"1_000", b"null", b"true", b'""', b'"\\ud800"', b'"\\u0000"', b"'", b",,", b"//", b"\0", b"\xff",
        b"\xef\xbb\xbf", b"\xed\xa0\x80", b"[" * 3000, b'{"a":' * 1500, b"]", b"}", b"{}", b"[]",
        b'"total_sessions":3,', b'"ts":1,', b'"events":[],', "١".encode(), "ｱ".encode("shift-jis"),
    ]
)  # fmt: skip


def right(path: str) -> bytes:
    """A body that is answered with a score."""
    if path == EVENTS:
        return json.dumps(event_schemas.example(contract_of(platform_in(Path()).settings))).encode()
    return json.dumps([CUSTOMER, FULL_CUSTOMER] if path == BATCH else FULL_CUSTOMER).encode()


@st.composite
def damaged(draw: st.DrawFn, path: str) -> bytes:
    """Nearly right: some pieces are missing, or others are in their place."""
    body = right(path)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        body = body[:start] + draw(PIECES) + body[start + draw(st.integers(0, 30)) :]
    return body


@st.composite
def encoded(draw: st.DrawFn, path: str) -> bytes:
    """JSON of any shape, or a right one with any value, in one encoding or another."""
    value, sound = draw(VALUES), json.loads(right(path))
    if draw(st.booleans()):
        place = sound["events"][0] if path == EVENTS else sound[1] if path == BATCH else sound
        place[draw(st.sampled_from([*place]))] = value
        value = sound
    text = json.dumps(value, ensure_ascii=draw(st.booleans()))
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp037"]))
    return text.encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace")


class Sent(NamedTuple):
    path: str
    body: bytes
    kind: str | None
    """Content type."""
    length: str
    """``right``, ``chunked``, or a content length that is ``longer`` or ``shorter`` than the body."""


KINDS = st.sampled_from(
    ["application/json"] * 6
    + [
        None,
        "application/json; charset=utf-16",
        "application/vnd.api+json",
        "text/plain",
        "multipart/form-data",
        '"',
        "é",
    ]
)
LENGTHS = st.sampled_from(["right"] * 6 + ["chunked"] * 3 + ["longer", "shorter"])
REQUESTS = st.sampled_from(PATHS).flatmap(
    lambda path: st.builds(Sent, st.just(path), st.binary(max_size=300) | damaged(path) | encoded(path), KINDS, LENGTHS)
)


# -- what comes back ---------------------------------------------------------------------------------------------------

NO_REQUEST = b"Invalid HTTP request received."
"""What the web server says of the rest of a body, which it has to take for another request."""


def answer(port: int, sent: Sent) -> int | None:
    """Status of the answer, which is looked at; None where the body broke off and there was nobody to answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.putrequest("POST", sent.path)
        if sent.kind is not None:
            connection.putheader("Content-Type", sent.kind)
        if sent.length == "chunked":
            connection.putheader("Transfer-Encoding", "chunked")
            pieces = [sent.body[i : i + 100] for i in range(0, len(sent.body), 100)]
            connection.endheaders(iter(pieces), encode_chunked=True)
        else:
            size = {"right": len(sent.body), "longer": len(sent.body) + 7, "shorter": len(sent.body) // 2}[sent.length]
            connection.putheader("Content-Length", str(size))
            connection.endheaders(sent.body)
        if sent.length == "longer":
            assert connection.sock is not None
            connection.sock.shutdown(socket.SHUT_WR)
        try:
            response = connection.getresponse()
        except RemoteDisconnected:
            assert sent.length == "longer"
            return None
        said = response.read()
        if sent.length == "shorter" and said == NO_REQUEST:
            return response.status
        assert response.getheader("Content-Type") == "application/json", (response.status, said)
        looked_at(sent, response.status, said)
        return response.status
    finally:
        connection.close()


def looked_at(sent: Sent, status: int, said: bytes) -> None:
    assert said.isascii()
    body = json.loads(said, parse_constant=pytest.fail)
    if status == 200:
        scores = body["predictions"] if sent.path == BATCH else [body]
        assert scores
        assert all(score.keys() >= SCORE and 0 <= score["churn_probability"] <= 1 for score in scores)
        if sent.length != "shorter":
            json.loads(sent.body.decode("utf-8-sig"), parse_constant=pytest.fail)
        return
    assert status in (400, 413, 415, 422), (status, said)
    assert 1 <= len(body["detail"]) <= 20
    assert body["error_count"] >= len(body["detail"])
    for problem in body["detail"]:
        assert problem.keys() >= PROBLEM
        assert all(isinstance(problem[name], str) and len(problem[name]) <= 1000 for name in PROBLEM - {"loc"})


def ask(port: int, examples: int) -> dict[int | None, int]:
    """Ask that often; how often which status came."""
    statuses: dict[int | None, int] = {}

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @example(Sent(EVENTS, b'{"\x80":1}', "application/json", "right"))
    @given(REQUESTS)
    def each(sent: Sent) -> None:
        status = answer(port, sent)
        statuses[status] = statuses.get(status, 0) + 1

    each()
    print(statuses)
    return statuses


def test_no_body_is_too_strange_for_an_answer(client: httpx.Client) -> None:
    statuses = ask(client.base_url.port or 0, 300)
    assert {200, 415, 422} <= statuses.keys()


# -- in a process of its own -------------------------------------------------------------------------------------------


class Memory:
    """What a process holds (MB): now, and the most that it held since it was asked to forget."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._most, self._stop = 0.0, threading.Event()

    @property
    def now(self) -> float:
        return self._process.memory_info().rss / MB

    @contextmanager
    def watched(self) -> Iterator["Memory"]:
        thread = threading.Thread(target=self._look)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.01):
            self._most = max(self._most, self.now)

    def most(self) -> float:
        most, self._most = max(self._most, self.now), 0.0
        return most


def filled(unit: bytes, size: int, around: tuple[bytes, bytes] = (b"[", b"]")) -> bytes:
    """Much of the same."""
    start, end = around
    return start + b",".join([unit] * ((size - len(start) - len(end)) // (len(unit) + 1))) + end


UNITS = (
    b"0",
    b"1.5",
    b"[]",
    b"{}",
    b'{"a":1}',
    b'{"a":{"b":{}}}',
    b'"aaaaaaaa"',
    b'{"total_sessions":1}',
    b"\0" * 1000,
)


def huge() -> Iterator[Sent]:
    """As large as a body may be, and one byte larger; each kind of JSON that takes most memory for its bytes."""
    for unit in UNITS:
        yield Sent(BATCH, filled(unit, BATCH_LIMIT), None, "right")
        yield Sent(EVENTS, filled(unit, BODY_LIMIT, (b'{"events":[', b"]}")), None, "right")
    yield Sent(BATCH, b"[" * BATCH_LIMIT, None, "right")
    yield Sent(EVENTS, b'{"events":' + b"[" * (BODY_LIMIT - 20), None, "right")
    for path in PATHS:
        yield Sent(path, b" " * (BATCH_LIMIT + 1), None, "right")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_process_holds_no_more_after_thousands_of_strange_and_huge_bodies(tmp_path: Path, served: Platform) -> None:
    with started(tmp_path, app=None, home=str(served.settings.data_home)) as running:
        eventually(lambda: running.answers("/readyz"), seconds=120)
        with Memory(running.process.pid).watched() as memory:
            begin = memory.now
            ask(running.port, 300)
            for sent in huge():
                memory.most()
                assert answer(running.port, sent) in (400, 413, 422)
                most = memory.most()
                print(f"{sent.path} {sent.body[:14]!r}: {most:.0f} MB")
                assert most < begin + 1000
            warm = memory.now
            statuses = ask(running.port, 5000)
            for sent in huge():
                answer(running.port, sent)
            eventually(lambda: memory.now < warm + 200)
            print(f"{begin:.0f} MB at first, {warm:.0f} MB warm, {memory.now:.0f} MB after {statuses}")
        assert running.process.poll() is None
        assert httpx.post(f"{running.url}{PREDICT}", json=CUSTOMER, trust_env=False).status_code == 200
