"""Airflow's real API server with the console in it, in this process: one for the whole test run."""

import json
import os
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Airflow, its providers and their dependencies warn of their own deprecations; nothing of ours can mend these.
USERS = {"admin": "admin", "op": "op", "viewer": "viewer"}
"""Names, which are their roles and their passwords too."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(scope="session")
def airflow_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The application that `airflow api-server` serves, our DAGs known to its database and switched on."""
    passwords = tmp_path_factory.mktemp("airflow") / "passwords.json"
    passwords.write_text(json.dumps({name: name for name in USERS}))
    environment = {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__API_AUTH__JWT_SECRET": "s" * 64,
        "AIRFLOW__API__SECRET_KEY": "s" * 64,
        "AIRFLOW__API__BASE_URL": "http://testserver",
    }
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        for name, value in environment.items():
            patch.setenv(name, value)
        warnings.simplefilter("ignore")
        from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
        from airflow.models.dag import DagModel
        from airflow.models.dagbundle import DagBundleModel
        from airflow.utils.db import initdb
        from airflow.utils.session import create_session
        from sqlalchemy import update

        initdb()
        folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
        with create_session() as session:
            if session.get(DagBundleModel, "dags-folder") is None:
                session.add(DagBundleModel(name="dags-folder"))
        sync_bag_to_db(
            BundleDagBag(folder, bundle_path=folder, bundle_name="dags-folder"), "dags-folder", bundle_version=None
        )
        with create_session() as session:
            session.execute(update(DagModel).values(is_paused=False))

        from airflow.api_fastapi.app import create_app

        yield create_app()


@pytest.fixture
def client(airflow_app: Any, settings: Any) -> Iterator[Any]:
    """Asks the console; ``settings`` is the data home that it reads. Forgets its stores afterwards."""
    from fastapi.testclient import TestClient

    from churn_console.reading import stores

    yield TestClient(airflow_app, follow_redirects=False)
    stores.cache_clear()


@pytest.fixture(scope="session")
def tokens(airflow_app: Any) -> dict[str, str]:
    """What Airflow gives each user who logs in."""
    from fastapi.testclient import TestClient

    login = TestClient(airflow_app)
    return {
        name: login.post("/auth/token", json={"username": name, "password": name}).json()["access_token"]
        for name in USERS
    }


@pytest.fixture(scope="session")
def address(airflow_app: Any) -> Iterator[str]:
    """The same application on a port of its own, for a browser."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(airflow_app, port=0, log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(20)
