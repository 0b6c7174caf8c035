"""What the containers run beside Airflow, MLflow and the API, and what docker-compose.yaml says, without an engine."""

import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from churn.settings import REPOSITORY, Settings
from deploy.stack import passwords
from deploy.stack.answers import main as answers
from deploy.stack.check import problems
from deploy.stack.prepare import write_logins
from serving.keys import Keys
from serving.probe import ready

COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


# -- secrets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bind", ["", "127.0.0.1", "[::1]"])
def test_on_this_machine_known_passwords_are_good_enough(bind: str) -> None:
    assert problems({"CHURN_BIND": bind}) == []


@pytest.mark.parametrize("bind", ["0.0.0.0", "[::]", "192.0.2.7"])
def test_where_others_reach_the_ports_every_known_password_is_named(bind: str) -> None:
    (told,) = problems({"CHURN_BIND": bind})
    for name in (*passwords.KNOWN, *passwords.KEYS, "CHURN_API_KEYS", "docs/operations.md"):
        assert name in told
    assert problems({"CHURN_BIND": bind, **passwords.fresh()}) == []


@pytest.mark.parametrize("name", [*passwords.KNOWN, *passwords.KEYS, "CHURN_API_KEYS"])
def test_one_secret_that_is_not_set_is_enough_to_refuse(name: str) -> None:
    environment = {"CHURN_BIND": "0.0.0.0", **passwords.fresh()}
    for value in ("", passwords.KNOWN.get(name, "")):
        (told,) = problems(environment | {name: value})
        assert re.search(rf"knows: {name}\.", told)


def test_a_password_that_breaks_an_address_is_named_and_not_shown() -> None:
    (told,) = problems({"CHURN_DB_PASSWORD": "pass@word/1"})
    assert told.startswith("CHURN_DB_PASSWORD")
    assert "pass@word" not in told


def test_an_address_or_a_digest_that_is_none_is_told() -> None:
    assert "no.such.host.invalid" in problems({"CHURN_BIND": "no.such.host.invalid"})[0]
    assert "CHURN_API_KEYS" in problems({"CHURN_API_KEYS": "secret"})[0]


def test_fresh_secrets_are_new_each_time_and_the_api_knows_prometheus_key() -> None:
    one, other = passwords.fresh(), passwords.fresh()
    assert not set(one.values()) & set(other.values())
    key = [(b"x-api-key", one["CHURN_METRICS_KEY"].encode())]
    assert Keys([one["CHURN_API_KEYS"]]).among(key)
    from cryptography.fernet import Fernet

    Fernet(one["CHURN_FERNET_KEY"])
    assert len(one["CHURN_JWT_SECRET"]) >= 64


@pytest.mark.parametrize("name", [*passwords.KNOWN, *passwords.KEYS])
def test_a_short_secret_is_refused_where_others_reach_the_ports(name: str) -> None:
    environment = passwords.fresh() | {name: "pa"}
    assert problems({"CHURN_BIND": "127.0.0.1", **environment}) == []
    (told,) = problems({"CHURN_BIND": "0.0.0.0", **environment})
    assert told.startswith(f"{name}: found 2 characters")


def test_the_start_needs_its_own_user() -> None:
    (told,) = problems({"CHURN_AIRFLOW_USERS": "anna:op,ben:viewer"})
    assert told.startswith("CHURN_AIRFLOW_USERS")
    assert problems({"CHURN_AIRFLOW_USERS": "anna:op, admin:admin"}) == []


def test_the_login_is_the_settings_and_others_keep_theirs(tmp_path: Path) -> None:
    file = tmp_path / "passwords.json"
    write_logins(file, "first", ["admin", "anna"])
    made = json.loads(file.read_text())["anna"]
    assert len(made) >= 16
    write_logins(file, "second", ["admin", "anna", "ben"])
    after = json.loads(file.read_text())
    assert (after["admin"], after["anna"]) == ("second", made)
    assert after["ben"] not in ("", made)
    assert file.stat().st_mode & 0o777 == 0o600


# -- health --------------------------------------------------------------------------------------------------------


@contextmanager
def server(status: int, body: str) -> Iterator[int]:
    """Answers everything alike; the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield running.server_address[1]
        finally:
            running.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "body", "component", "code"),
    [
        (200, "fine", None, 0), (500, "fine", None, 1), (200, '{"scheduler": {"status": "healthy"}}', "scheduler", 0),
        (200, '{"scheduler": {"status": "unhealthy"}}', "scheduler", 1), (200, "{}", "scheduler", 1),
        (200, "[]", "scheduler", 1), (200, "no JSON", "scheduler", 1),
        (200, '{"scheduler": {"status": null}}', "scheduler", 1),
    ],
)  # fmt: skip
def test_a_health_check_believes_what_is_said_and_nothing_else(
    status: int, body: str, component: str | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # never asked
    with server(status, body) as port:
        assert answers([f"http://127.0.0.1:{port}/", *([component] if component else [])]) == code


def test_nobody_there_is_not_well() -> None:
    with server(200, "") as port:
        assert ready(port)
    assert not ready(port)
    assert answers([f"http://127.0.0.1:{port}/"]) == 1


# -- docker-compose.yaml -------------------------------------------------------------------------------------------


def _environment(service: str) -> dict[str, Any]:
    return SERVICES[service].get("environment") or {}


def test_every_variable_of_ours_is_a_setting_of_the_library() -> None:
    known = {f"CHURN_{name.upper()}" for name in Settings.model_fields} | {"CHURN_HOME"}
    only_here = {"CHURN_BIND", "CHURN_AIRFLOW_USERS", "CHURN_FERNET_KEY", "CHURN_SECRET_KEY", "CHURN_JWT_SECRET"}
    used = {name for service in SERVICES for name in _environment(service) if name.startswith("CHURN_")}
    assert used - known - {"CHURN_DB_PASSWORD"} <= only_here


def test_every_variable_that_can_be_set_is_in_the_example() -> None:
    text = (REPOSITORY / "docker-compose.yaml").read_text()
    read = set(re.findall(r"\$\{([A-Z_]+)", text))
    read |= {name for service in SERVICES for name, value in _environment(service).items() if value is None}
    images = {name for name in read if name.endswith("_IMAGE")}
    listed = set(re.findall(r"^# ?([A-Z_]+)=", (REPOSITORY / ".env.example").read_text(), re.M))
    assert read - images - listed <= {"AIRFLOW_CONN_SMTP_DEFAULT"} | _MODELLING
    assert "PYTHON_IMAGE" in listed


_MODELLING = {f"CHURN_{name}" for name in (
    "DEMO", "DEMO_CUSTOMERS", "DEMO_DAYS", "DEMO_SEED", "PANEL_SNAPSHOTS", "SEARCH_TRIALS", "LEAKAGE_AUC",
    "LONGEST_GAP_DAYS", "CONTACT_COST", "RETAINED_VALUE", "CONTACT_SUCCESS", "HORIZON_DAYS", "CONTRACT",
    "REGISTERED_MODEL", "AIRFLOW_GROUP",
)}  # fmt: skip
"""Explained where they belong, in churn/settings.py and the README."""


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_bounded_and_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    for port in service.get("ports", []):
        # Prometheus has no login: whatever CHURN_BIND says, it stays on this machine.
        assert port.startswith("127.0.0.1:" if name == "prometheus" else "${CHURN_BIND:-127.0.0.1}:")
    if "ports" not in service and name not in ("airflow-scheduler", "airflow-dag-processor", "airflow-triggerer",
                                               "airflow-worker"):  # fmt: skip
        assert service["networks"] == ["inside"]
    assert "@sha256" in service["image"] or "${" in service["image"]


def test_no_service_starts_before_the_passwords_were_looked_at() -> None:
    def waits(name: str) -> set[str]:
        needs = set(SERVICES[name].get("depends_on") or {})
        return needs.union(*(waits(other) for other in needs))

    for name in set(SERVICES) - {"check", "redis"}:
        assert "check" in waits(name), name
