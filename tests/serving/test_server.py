"""The server as a process: how it starts, what it refuses, and how it ends without losing a request."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import httpx
import psutil
import pytest

from churn.settings import Settings
from deploy.local import services
from serving import __main__ as command
from serving.keys import new_key
from tests.serving.conftest import CUSTOMER, Platform, eventually

STANDING_IN = "tests.serving.standing_in:create_app"
PREDICT = "/api/churn/predict"


@dataclass
class Started:
    """The service as a child process on a free port."""

    process: "subprocess.Popen[str]"
    log: Path
    temporary: Path

    @property
    def port(self) -> int:
        found = re.search(r'"starting".*"http://127\.0\.0\.1:(\d+)"', self.log.read_text())
        return int(found[1]) if found else 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answers(self, path: str) -> bool:
        try:
            return self.port > 0 and httpx.get(self.url + path, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def asked(self, path: str) -> socket.socket:
        """A connection on which that was asked for."""
        caller = socket.create_connection(("127.0.0.1", self.port))
        caller.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return caller

    def says(self, message: str) -> bool:
        return f'"message": "{message}"' in self.log.read_text()

    def ends(self, seconds: float = 20) -> int:
        return self.process.wait(timeout=seconds)


@contextmanager
def started(
    folder: Path, *arguments: str, app: str | None = STANDING_IN, orderly: bool = True, **given: str
) -> Iterator[Started]:
    """``given``: settings, by their names. ``orderly``: nothing is to be broken off."""
    temporary, log = folder / "temporary", folder / "log"
    temporary.mkdir()
    settings = {f"CHURN_{name.upper()}": value for name, value in given.items()}
    unset = ("MLFLOW_TRACKING_URI", "OMP_NUM_THREADS")
    env = {name: value for name, value in os.environ.items() if name not in unset}
    env |= {"CHURN_HOME": str(folder / "home"), "TMPDIR": str(temporary), **settings}
    chosen = [] if app is None else ["--app", app]
    argv = [sys.executable, "-m", "serving", "--port", "0", *chosen, *arguments]
    with log.open("w") as output:
        process = subprocess.Popen(argv, env=env, stderr=output, stdout=output, text=True)
    everyone: list[psutil.Process] = []
    try:
        running = Started(process, log, temporary)
        eventually(lambda: running.answers("/livez") or process.poll() is not None, seconds=60)
        assert process.poll() is None, log.read_text()
        everyone = psutil.Process(process.pid).children(recursive=True)
        yield running
    finally:
        process.kill()
        process.wait()
        left = _still_running(everyone, seconds=10)
        for orphan in left:
            orphan.kill()
        assert not left
    assert not orderly or "Traceback" not in log.read_text(), log.read_text()


def _still_running(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """After so long. One that has ended is a zombie until the machine's first process, its parent now, looks at it."""
    _, left = psutil.wait_procs(processes, timeout=seconds)
    found = []
    for process in left:
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


# -- starting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_it_does_not_listen_where_others_reach_it_without_keys(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--host", host, "--port", "0"]) == 1
    said = capsys.readouterr().err
    assert "python -m serving new-key" in said
    assert "CHURN_API_KEYS" in said


def test_a_setting_that_is_no_digest_is_refused_at_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURN_API_KEYS", "the-key-itself")
    assert command.main(["--port", "0"]) == 1
    said = capsys.readouterr().err
    assert "CHURN_API_KEYS: value 1 of 1" in said
    assert "the-key-itself" not in said


def test_a_taken_port_is_named_with_the_setting_that_moves_it(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert command.main(["--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert str(port) in said
    assert "CHURN_API_PORT" in said


@pytest.mark.parametrize("arguments", [["--workers", "0"], ["--port", "x"], ["--port", "70000"], ["stop"]])
def test_an_argument_out_of_range_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command.main(arguments)
    assert end.value.code == 2
    assert arguments[-1] in capsys.readouterr().err


def test_help_says_how_it_is_set_and_how_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"])
    said = capsys.readouterr().out
    for word in ("new-key", "CHURN_API_HOST", "CHURN_API_WORKERS", "CHURN_API_KEYS", "SIGTERM", "127.0.0.1"):
        assert word in said


def test_answers_do_not_say_what_serves_them_and_the_log_is_json_lines(tmp_path: Path) -> None:
    with started(tmp_path) as running:
        assert "server" not in httpx.get(f"{running.url}/livez", trust_env=False).headers
        httpx.get(f"{running.url}/api/churn/customers/ada?seconds=0&key=secret", trust_env=False)
        running.process.send_signal(signal.SIGTERM)
        assert running.ends() == 0
        lines = [json.loads(line) for line in running.log.read_text().splitlines()]
    assert [line["message"] for line in lines] == ["starting", "ending", "ended"]
    assert not re.search("ada|secret", running.log.read_text())


@pytest.mark.slow
def test_the_local_start_sees_an_api_that_asks_for_keys(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        settings = Settings(home=tmp_path, api_port=free.getsockname()[1], api_keys=(new_key().digest,))
    api = services.api(settings, STANDING_IN)
    assert api.health
    process = subprocess.Popen(api.argv, env=dict(api.env), cwd=api.cwd, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: api.health and api.health.ok(datetime.now(UTC)), seconds=60)
        assert services.api_health(settings).says("at_work")
        url = f"http://127.0.0.1:{settings.api_port}/api/churn/health"
        assert httpx.get(url, trust_env=False).status_code == 401
        process.terminate()
        _, log = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    own = services.api_health(settings).key
    assert own
    assert own not in log + repr(api)


# -- ending ------------------------------------------------------------------------------------------------------------


@dataclass
class Caller:
    """A client that keeps its connection, as long as it may, and asks again and again."""

    port: int
    body: bytes
    answered: int = 0
    lost: list[str] = field(default_factory=list)
    refused: int = 0
    reconnects: bool = False
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until it is told to close its connection, or, where it ``reconnects``, until nobody listens."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self.stop.is_set():
            try:
                connection.connect() if connection.sock is None else None
            except ConnectionRefusedError:  # nothing was sent
                self.refused += 1
                return
            try:
                connection.request("POST", PREDICT, self.body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200 or not text:
                    self.lost.append(f"{answer.status} {text!r}")
                self.answered += 1
            except (OSError, HTTPException) as error:
                self.lost.append(repr(error))
                connection.close()
                return
            if answer.getheader("Connection") == "close":
                connection.close()
                if not self.reconnects:
                    return


@contextmanager
def under_load(running: Started, callers: list[Caller]) -> Iterator[None]:
    threads = [threading.Thread(target=caller.run) for caller in callers]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: all(caller.answered > 20 for caller in callers))
        yield
    finally:
        for thread in threads:
            thread.join(timeout=20)
        for caller in callers:
            caller.stop.set()
        assert not [thread for thread in threads if thread.is_alive()]


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_no_request_is_lost_when_it_ends_under_load(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path, drain_seconds="20") as running:
        callers = [Caller(running.port, b"{}") for _ in range(8)]
        with under_load(running, callers):
            running.process.send_signal(number)
        assert running.ends(10) == 0  # all had their answer and left: the 20 seconds are not waited for
        assert [caller.lost for caller in callers] == [[]] * 8


@pytest.mark.slow
def test_callers_who_come_again_are_answered_until_nobody_listens(tmp_path: Path) -> None:
    with started(tmp_path, drain_seconds="0.5") as running:
        callers = [Caller(running.port, b"{}", reconnects=True) for _ in range(8)]
        with under_load(running, callers):
            running.process.send_signal(signal.SIGTERM)
        assert running.ends() == 0
        assert [caller.lost for caller in callers] == [[]] * 8
        assert [caller.refused for caller in callers] == [1] * 8


def test_it_ends_at_once_when_nobody_is_connected(tmp_path: Path) -> None:
    with started(tmp_path, drain_seconds="60") as running:
        running.process.send_signal(signal.SIGTERM)
        assert running.ends(10) == 0


@pytest.mark.slow
def test_an_idle_connection_is_closed_when_the_drain_is_over(tmp_path: Path) -> None:
    with started(tmp_path, drain_seconds="1") as running:
        idle = HTTPConnection("127.0.0.1", running.port, timeout=20)
        idle.request("GET", "/livez")
        idle.getresponse().read()
        running.process.send_signal(signal.SIGTERM)
        eventually(lambda: running.says("ending"))
        ready = httpx.get(f"{running.url}/readyz", trust_env=False)
        assert (ready.status_code, ready.headers["connection"]) == (503, "close")
        assert running.process.poll() is None
        assert running.ends(10) == 0
        assert idle.sock.recv(1) == b""
        idle.close()


@pytest.mark.slow
def test_work_that_outlasts_the_drain_is_finished(tmp_path: Path) -> None:
    with started(tmp_path, drain_seconds="0.2") as running:
        answers: list[httpx.Response] = []
        url = f"{running.url}/api/churn/customers/c1?seconds=2"
        asking = threading.Thread(target=lambda: answers.append(httpx.get(url, trust_env=False, timeout=20)))
        asking.start()
        _is_at_work(running)
        running.process.send_signal(signal.SIGTERM)
        asking.join(timeout=20)
        assert running.ends() == 0
        assert [answer.text for answer in answers] == ["slept"]


@pytest.mark.parametrize("path", ["/api/churn/customers/c1?seconds=60", "/api/churn/in_a_thread?seconds=60"])
def test_a_second_signal_ends_it_at_once(tmp_path: Path, path: str) -> None:
    with started(tmp_path, orderly=False, drain_seconds="60") as running, running.asked(path):
        _is_at_work(running)
        running.process.send_signal(signal.SIGTERM)
        eventually(lambda: running.says("ending"))
        running.process.send_signal(signal.SIGTERM)
        assert running.ends(10) == 1


def _is_at_work(running: Started) -> None:
    """Until another request than the one that asks is at work."""
    eventually(lambda: httpx.get(f"{running.url}/api/churn/health", trust_env=False).json()["at_work"] == 2)


@pytest.mark.slow
def test_the_service_itself_loses_no_prediction_when_it_ends(tmp_path: Path, served: Platform) -> None:
    with started(tmp_path, app=None, home=str(served.settings.data_home), drain_seconds="20") as running:
        eventually(lambda: running.answers("/readyz"), seconds=60)
        callers = [Caller(running.port, json.dumps(CUSTOMER).encode()) for _ in range(8)]
        with under_load(running, callers):
            running.process.send_signal(signal.SIGTERM)
        assert running.ends() == 0
        assert [caller.lost for caller in callers] == [[]] * 8


# -- several processes -------------------------------------------------------------------------------------------------


def _workers(running: Started) -> list[psutil.Process]:
    """Those that serve and have not ended; one that ends while it is looked at is not among them."""
    found = []
    for child in psutil.Process(running.process.pid).children():
        with suppress(psutil.NoSuchProcess):
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("everyone_is_told", [False, True])
def test_two_processes_serve_and_end_together(tmp_path: Path, everyone_is_told: bool) -> None:
    """A service manager sends its signal to each of them, a terminal too."""
    with started(tmp_path, "--workers", "2", drain_seconds="2") as running:
        eventually(lambda: len(_answering(running, _workers(running))) == 2)
        assert len(list(running.temporary.glob("churn-metrics-*"))) == 1
        callers = [Caller(running.port, b"{}", reconnects=True) for _ in range(8)]
        told = [psutil.Process(running.process.pid), *(_workers(running) if everyone_is_told else [])]
        with under_load(running, callers):
            for process in told:
                with suppress(psutil.NoSuchProcess):  # the first one told tells the others, and they may be quick
                    process.send_signal(signal.SIGTERM)
        assert running.ends() == 0
        assert [caller.lost for caller in callers] == [[]] * 8
        assert list(running.temporary.iterdir()) == []


@pytest.mark.slow
def test_a_second_signal_ends_both_processes_at_once(tmp_path: Path) -> None:
    with started(tmp_path, "--workers", "2", orderly=False, drain_seconds="60") as running:
        with running.asked("/api/churn/in_a_thread?seconds=60"):
            running.process.send_signal(signal.SIGINT)
            eventually(lambda: running.says("ending"))
            running.process.send_signal(signal.SIGINT)
            assert running.ends(10) == 1
        assert list(running.temporary.iterdir()) == []


@pytest.mark.slow
def test_a_process_that_is_killed_is_replaced(tmp_path: Path) -> None:
    with started(tmp_path, "--workers", "2") as running:
        eventually(lambda: len(_answering(running, _workers(running))) == 2)
        first = _workers(running)[0]
        first.kill()
        eventually(lambda: first.pid not in _pids(running) and len(_pids(running)) == 2)
        eventually(lambda: len(_answering(running, _workers(running))) == 2)
        running.process.send_signal(signal.SIGTERM)
        assert running.ends() == 0


@pytest.mark.slow
def test_none_of_several_processes_takes_a_request_before_it_has_the_model(tmp_path: Path, served: Platform) -> None:
    """Nor one that replaces another: callers of one address would meet it at random."""
    home = str(served.settings.data_home)
    with started(tmp_path, "--workers", "2", app=None, home=home) as running:
        assert _ready(running) == {200}  # at the first answer of all, to /livez
        eventually(lambda: len(_answering(running, _workers(running))) == 2)
        assert _ready(running) == {200}
        first = _workers(running)[0]
        first.kill()
        eventually(lambda: first.pid not in _pids(running) and len(_pids(running)) == 2)
        found: set[int] = set()
        while len(_answering(running, _workers(running))) < 2:
            found |= _ready(running)
        assert found | _ready(running) == {200}
        running.process.send_signal(signal.SIGTERM)
        assert running.ends() == 0


def _ready(running: Started) -> set[int]:
    """What connections of their own, enough to meet every process, are told."""
    return {httpx.get(f"{running.url}/readyz", trust_env=False).status_code for _ in range(40)}


@pytest.mark.slow
def test_processes_end_at_once_while_they_wait_for_a_registry_that_hangs(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        uri = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        env = {**os.environ, "CHURN_HOME": str(tmp_path), "MLFLOW_TRACKING_URI": uri, "TMPDIR": str(tmp_path)}
        argv = [sys.executable, "-m", "serving", "--workers", "2", "--port", "0"]
        process = subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True)
        try:
            hanging.settimeout(60)
            hanging.accept()[0].close()
            process.terminate()
            assert process.wait(timeout=15) == 0
        finally:
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_the_processes_end_when_their_parent_was_killed(tmp_path: Path) -> None:
    with started(tmp_path, "--workers", "2") as running:
        eventually(lambda: len(_answering(running, _workers(running))) == 2)
        workers = _workers(running)
        running.process.kill()
        assert not _still_running(workers, seconds=20)


@pytest.mark.slow
def test_an_application_that_cannot_start_ends_all(tmp_path: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "serving",
        "--workers",
        "2",
        "--port",
        "0",
        "--app",
        "tests.serving.standing_in:nothing",
    ]
    env = {**os.environ, "CHURN_HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    ended = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "a process ended by itself" in ended.stderr
    assert list(tmp_path.glob("churn-metrics-*")) == []


def _pids(running: Started) -> list[int]:
    return [worker.pid for worker in _workers(running)]


def _answering(running: Started, workers: list[psutil.Process]) -> list[psutil.Process]:
    """Those that listen."""
    found = []
    for worker in workers:
        try:
            listening = [c for c in worker.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        except psutil.Error:
            continue
        if any(c.laddr[1] == running.port for c in listening):
            found.append(worker)
    return found
