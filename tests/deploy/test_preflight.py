"""What is in the way is said before anything is started."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from supervising import REPOSITORY

from deploy.local.preflight import HOST, CannotStart, exclusive, is_free, require_free_ports


def free_port() -> int:
    """One that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_is_named_with_the_setting_that_moves_it(address: str) -> None:
    with socket.socket() as server:
        server.bind((address, 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(CannotStart) as caught:
            require_free_ports({"CHURN_API_PORT": ("the API", port), "CHURN_MLFLOW_PORT": ("MLflow", free_port())})
    message = str(caught.value)
    assert f"{port} for the API is taken by process {os.getpid()}" in message
    assert "set CHURN_API_PORT to a free port" in message
    assert "MLFLOW" not in message
    assert is_free(port)


def test_two_services_on_one_port_are_refused() -> None:
    port = free_port()
    with pytest.raises(CannotStart, match=f"{port} for the API is also the port of Airflow: set CHURN_API_PORT"):
        require_free_ports({"CHURN_AIRFLOW_PORT": ("Airflow", port), "CHURN_API_PORT": ("the API", port)})


def test_a_second_start_on_the_same_data_home_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time\nfrom deploy.local.preflight import exclusive\n"
        "with exclusive(pathlib.Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(300)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as first:
        assert first.stdout and first.stdout.readline() == b"held\n"
        with pytest.raises(CannotStart, match=rf"already runs on .* \(process {first.pid}\)"), exclusive(tmp_path):
            pass
        first.send_signal(signal.SIGKILL)
        first.wait()
    with exclusive(tmp_path):
        assert (tmp_path / "run" / "lock").read_text().strip() == str(os.getpid())


def _local(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "deploy.local", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=REPOSITORY, env={**os.environ, **env}, check=False, timeout=60
    )


def test_the_command_refuses_taken_ports_and_starts_nothing(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = str(server.getsockname()[1])
        done = _local(CHURN_HOME=str(tmp_path), CHURN_AIRFLOW_PORT=port)
    assert done.returncode == 1
    assert f"{port} for Airflow is taken" in done.stderr
    assert not (tmp_path / "airflow").exists()


def test_a_setting_of_the_wrong_type_is_named(tmp_path: Path) -> None:
    done = _local(CHURN_HOME=str(tmp_path), CHURN_API_PORT="many")
    assert done.returncode == 1
    assert "A setting is not what it should be" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_names_the_settings_that_move_ports_and_places() -> None:
    done = _local("--help")
    assert done.returncode == 0
    for name in ("CHURN_AIRFLOW_PORT", "CHURN_MLFLOW_PORT", "CHURN_API_PORT", "CHURN_HOME", "--exit-when-ready"):
        assert name in done.stdout
