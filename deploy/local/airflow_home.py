"""Airflow's folder in the data home: its settings, its secrets, and whether its database is there."""

import base64
import importlib.metadata
import json
import os
import secrets
import sys
from pathlib import Path

from churn.settings import REPOSITORY, Settings
from deploy.local.preflight import HOST

USER = "admin"


def folder(settings: Settings) -> Path:
    return settings.data_home / "airflow"


def environment(settings: Settings, dags: Path) -> dict[str, str]:
    """Airflow's settings. The reasons for the numbers were measured; see the comments."""
    home = folder(settings)
    address = f"http://{HOST}:{settings.airflow_port}"
    keys = _secrets(home / "secrets.json")
    sections: dict[str, dict[str, object]] = {
        "core": {
            "executor": "LocalExecutor",
            "parallelism": 4,  # that many workers are forked at the start; the default is 32
            # Read when Airflow's database is made; later the pool is changed in Airflow. What reads the log takes two.
            "default_pool_task_slot_count": 4,
            "load_examples": False,
            "hostname_callable": "socket.gethostname",  # the default asks the name server
            "dags_folder": dags,
            "plugins_folder": REPOSITORY / "plugins",
            "dags_are_paused_at_creation": True,  # switched on in order, see schedule.py
            "simple_auth_manager_users": f"{USER}:admin",
            "simple_auth_manager_passwords_file": passwords_file(settings),
            "execution_api_server_url": f"{address}/execution/",
            "fernet_key": keys["fernet_key"],
        },
        "database": {"sql_alchemy_conn": f"sqlite:///{home / 'airflow.db'}"},
        "api": {
            "host": HOST,
            "port": settings.airflow_port,
            "base_url": address,
            "workers": 1,
            "secret_key": keys["secret_key"],
        },
        "api_auth": {"jwt_secret": keys["jwt_secret"]},
        "logging": {
            "base_log_folder": home / "logs",
            "namespace_levels": "great_expectations=WARNING",  # hundreds of lines about itself in each task's log
        },
        # A new or changed DAG file shows within seconds; the defaults are minutes.
        "dag_processor": {"refresh_interval": 5, "min_file_process_interval": 5, "parsing_processes": 1},
        # With the default of 5 s a worker slot stays busy seconds after its task ended.
        "workers": {"min_heartbeat_interval": 1},
        "scheduler": {
            "scheduler_idle_sleep_time": 0.2,  # halves the time between two tasks
            # After a kill, tasks that were running are found and run again within two minutes, not five.
            "orphaned_tasks_check_interval": 10,
            "task_instance_heartbeat_timeout": 90,
        },
    }
    env = {f"AIRFLOW__{s}__{k}".upper(): str(v) for s, options in sections.items() for k, v in options.items()}
    env["AIRFLOW_HOME"] = str(home)
    if sys.platform == "darwin":  # macOS aborts forked children that touch its frameworks
        env |= {"OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES", "no_proxy": "*"}
    return env


def passwords_file(settings: Settings) -> Path:
    return folder(settings) / "passwords.json"


def write_passwords(settings: Settings) -> None:
    """Rewritten at every start, so that the setting is the one place where the password lives."""
    write_private(passwords_file(settings), json.dumps({USER: settings.airflow_password}))


def _secrets(path: Path) -> dict[str, str]:
    """Made once, then kept: other keys would log everyone out and make stored connections unreadable."""
    if not path.exists():
        fresh = {
            "jwt_secret": secrets.token_hex(64),
            "secret_key": secrets.token_hex(32),
            "fernet_key": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        }
        write_private(path, json.dumps(fresh))
    content: dict[str, str] = json.loads(path.read_text())
    return content


def write_private(path: Path, text: str) -> None:
    """Readable by the owner only, from its first byte on; old or new, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".tmp")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    aside.replace(path)


def _migrated_file(settings: Settings) -> Path:
    return folder(settings) / "migrated-to"


def is_migrated(settings: Settings) -> bool:
    """Whether the database is that of the installed Airflow; the check by Airflow itself costs 8 to 18 s of imports."""
    stamp = _migrated_file(settings)
    database = folder(settings) / "airflow.db"
    return database.exists() and stamp.exists() and stamp.read_text() == _version()


def drop_half_made(settings: Settings) -> None:
    """Removes a database whose first preparation was interrupted; nothing has used it yet."""
    if not _migrated_file(settings).exists():
        for file in folder(settings).glob("airflow.db*"):
            file.unlink()


def remember_migrated(settings: Settings) -> None:
    _migrated_file(settings).write_text(_version())


def _version() -> str:
    return importlib.metadata.version("apache-airflow")
