"""What children are given: one data home, one registry, secrets that stay secret."""

import json
import socket
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from churn.settings import REPOSITORY, Settings
from deploy.local import airflow_home, first_start, services
from deploy.local.airflow_api import AirflowApi


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_the_owners_alone_and_the_same_at_every_start(settings: Settings) -> None:
    first = airflow_home.environment(settings, REPOSITORY / "dags")
    second = airflow_home.environment(settings, REPOSITORY / "dags")
    assert _mode(airflow_home.folder(settings) / "secrets.json") == 0o600
    for name in ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY"):
        assert len(first[name]) >= 44
        assert first[name] == second[name]


def test_the_password_file_is_the_owners_alone_and_follows_the_setting(settings: Settings) -> None:
    path = airflow_home.passwords_file(settings)
    for password in ("admin", "another"):
        airflow_home.write_passwords(settings.model_copy(update={"airflow_password": password}))
        assert json.loads(path.read_text()) == {"admin": password}
        assert _mode(path) == 0o600


def test_airflow_follows_a_port_that_is_not_the_default(settings: Settings) -> None:
    env = airflow_home.environment(settings.model_copy(update={"airflow_port": 18080}), REPOSITORY / "dags")
    assert env["AIRFLOW__API__PORT"] == "18080"
    assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:18080/execution/"


def test_children_write_byte_code_and_share_one_home_and_one_registry(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    env = services.base_environment(settings)
    assert "PYTHONDONTWRITEBYTECODE" not in env
    assert env["CHURN_HOME"] == str(settings.data_home)
    assert env["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"


def test_a_registry_of_the_users_own_is_used_and_none_is_started(settings: Settings) -> None:
    own = settings.model_copy(update={"mlflow_tracking_uri": "http://registry.example"})
    assert services.base_environment(own)["MLFLOW_TRACKING_URI"] == "http://registry.example"
    assert not services.starts_mlflow(own)


def test_everything_listens_on_this_machine_only(settings: Settings) -> None:
    assert "127.0.0.1" in services.mlflow(settings).argv
    assert "127.0.0.1" in services.api(settings).argv
    assert airflow_home.environment(settings, REPOSITORY / "dags")["AIRFLOW__API__HOST"] == "127.0.0.1"


def test_airflow_starts_no_log_server_as_those_listen_on_all_interfaces(settings: Settings) -> None:
    airflow = services.airflow(settings, REPOSITORY / "dags")
    told = {service.name: service.argv[3:] for service in (*airflow.first, *airflow.last)}
    assert told == {
        "airflow-api-server": ("api-server",),
        "airflow-dag-processor": ("dag-processor",),
        "airflow-scheduler": ("scheduler", "--skip-serve-logs"),
        "airflow-triggerer": ("triggerer", "--skip-serve-logs"),
    }


@pytest.mark.parametrize(
    ("set_by_user", "expected"),
    [
        ({}, "127.0.0.1,HERE"),
        ({"NO_PROXY": "corp.example"}, "corp.example,127.0.0.1,HERE"),
        ({"no_proxy": " a,", "NO_PROXY": "b"}, "a,b,127.0.0.1,HERE"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_children_reach_each_other_past_a_proxy(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, set_by_user: dict[str, str], expected: str
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in set_by_user.items():
        monkeypatch.setenv(name, value)
    env = services.base_environment(settings)
    assert env["no_proxy"] == env["NO_PROXY"] == expected.replace("HERE", f"localhost,{socket.gethostname()}")


@pytest.fixture
def answering() -> Iterator[str]:
    """A server that answers everything with ``{"up": true}``."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"up": true, "access_token": "token"}')

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_the_start_itself_uses_no_proxy(answering: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    health = services.Health(answering)
    assert health.ok(datetime.now(UTC))
    assert health.says("up")
    api = AirflowApi(answering, "admin", "admin", lambda _: pytest.fail("it did not answer"))
    assert api._call("GET", "/")["up"]
    api.close()


def test_the_chain_and_what_follows_it_name_dags_that_exist() -> None:
    for dag_id in (*first_start.CHAIN, first_start.MONITOR):
        assert (REPOSITORY / "dags" / f"{dag_id}.py").exists()


def test_airflows_database_is_prepared_again_for_another_airflow(settings: Settings) -> None:
    assert not airflow_home.is_migrated(settings)
    airflow_home.folder(settings).mkdir(parents=True)
    (airflow_home.folder(settings) / "airflow.db").touch()
    airflow_home.remember_migrated(settings)
    assert airflow_home.is_migrated(settings)
    (airflow_home.folder(settings) / "migrated-to").write_text("3.2.0")
    assert not airflow_home.is_migrated(settings)


def test_a_database_whose_preparation_was_interrupted_is_made_anew(settings: Settings) -> None:
    folder = airflow_home.folder(settings)
    folder.mkdir(parents=True)
    for name in ("airflow.db", "airflow.db-wal"):
        (folder / name).touch()
    airflow_home.drop_half_made(settings)
    assert list(folder.iterdir()) == []
    (folder / "airflow.db").touch()
    airflow_home.remember_migrated(settings)
    airflow_home.drop_half_made(settings)
    assert (folder / "airflow.db").exists()
