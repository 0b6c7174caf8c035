"""The containers as ``docker compose up --wait`` starts them, under a name and on ports of their own."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from functools import cache
from typing import Any, Self

import httpx
import pytest
from running_platform import Asking, free_ports

from churn.settings import REPOSITORY

UP_SECONDS = 900


def needs_docker(*commands: str) -> list[pytest.MarkDecorator]:
    """Marks of tests that need an engine which answers these commands."""
    why = _missing(commands)
    return [pytest.mark.stack, pytest.mark.skipif(why is not None, reason=str(why))]


@cache
def _missing(commands: tuple[str, ...]) -> str | None:
    """Why the containers cannot be tried here, or None."""
    if shutil.which("docker") is None:
        return "there is no docker here; .ci/engine brings one"
    for command in commands:
        if subprocess.run(["docker", *command.split()], capture_output=True, timeout=60).returncode:
            return f"`docker {command}` fails here; .ci/engine brings an engine"
    return None


def docker(*arguments: str) -> str:
    """What it prints. Fails where it does, with what it said."""
    done = subprocess.run(["docker", *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Stack(Asking):
    """One compose project. The end of its ``with`` takes it away, its data too."""

    patience = 420.0

    def __init__(self, name: str, **settings: str) -> None:
        """``settings``: more variables of docker-compose.yaml, by their names."""
        ports = free_ports(4)
        self.name = name
        outside = {k: v for k, v in os.environ.items() if not k.startswith(("CHURN_", "AIRFLOW", "MLFLOW"))}
        self.environment = outside | {
            "COMPOSE_PROJECT_NAME": name,
            "CHURN_AIRFLOW_PORT": str(ports[0]),
            "CHURN_API_PORT": str(ports[1]),
            "CHURN_PROMETHEUS_PORT": str(ports[2]),
            "CHURN_GRAFANA_PORT": str(ports[3]),
            "CHURN_REGISTRY_POLL_SECONDS": "1",
            "CHURN_PREDICTION_LOG_SECONDS": "2",
            **settings,
        }
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{ports[1]}/api/churn", timeout=20, trust_env=False)
        self.airflow = httpx.Client(base_url=f"http://127.0.0.1:{ports[0]}", timeout=30, trust_env=False)
        self.prometheus = httpx.Client(base_url=f"http://127.0.0.1:{ports[2]}", timeout=20, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.compose("down", "--volumes", "--timeout", "10", timeout=120)
        for client in (self.api, self.airflow, self.prometheus):
            client.close()

    def build(self) -> float:
        """Make the images; the seconds it took."""
        began = time.monotonic()
        self.compose("build", "--quiet", timeout=UP_SECONDS)
        return time.monotonic() - began

    def up(self, *services: str) -> float:
        """Start what is named, or all that has an image, and wait until it is well; the seconds it took."""
        began = time.monotonic()
        try:
            self.compose("up", "--detach", "--wait", *(services or self.services()), timeout=UP_SECONDS)
        except subprocess.CalledProcessError as error:
            raise AssertionError(f"{error.stderr[-3000:]}\n{self.told()}") from None
        return time.monotonic() - began

    def services(self) -> list[str]:
        """All but those whose image cannot be had: Grafana, where no registry is reached."""
        names = self.compose("config", "--services").split()
        image = self.environment.get("GRAFANA_IMAGE", "grafana/grafana:11.6.0")
        there = subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode == 0
        return [name for name in names if name != "grafana" or there]

    def compose(self, *arguments: str, timeout: float = 120, given: str | None = None) -> str:
        """Run ``docker compose``; what it printed."""
        return subprocess.run(
            ["docker", "compose", *arguments],
            cwd=REPOSITORY, env=self.environment, input=given, check=True, capture_output=True, text=True,
            timeout=timeout,
        ).stdout  # fmt: skip

    def python(self, code: str, service: str = "airflow-scheduler", timeout: float = 300) -> Any:
        """Run Python in a container; what it printed last, as JSON."""
        printed = self.compose("exec", "-T", service, "python", "-", given=code, timeout=timeout).splitlines()
        return json.loads(printed[-1]) if printed else None

    def told(self, *services: str) -> str:
        """The end of the containers' logs."""
        return self.compose("logs", "--no-color", "--tail", "40", *services)

    def states(self) -> dict[str, str]:
        """State, and health where there is one, of each container."""
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        found = [json.loads(line) for line in lines]
        return {c["Service"]: f"{c['State']} {c['Health']}".strip() for c in found}

    def container(self, service: str) -> Mapping[str, Any]:
        """What the engine knows of a service's container."""
        name = self.compose("ps", "--all", "--quiet", service).strip()
        (found,) = json.loads(docker("inspect", name))
        return dict(found)

    def samples(self, query: str) -> list[float]:
        """What Prometheus answers to a query now."""
        answer = self.prometheus.get("/api/v1/query", params={"query": query}).raise_for_status().json()
        return [float(sample["value"][1]) for sample in answer["data"]["result"]]
