"""Before Airflow's first process: ``python -m deploy.stack.prepare`` writes its login and migrates its database."""

import json
import os
import secrets
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from churn.settings import Settings
from deploy.local.airflow_home import USER, write_private


def write_logins(file: Path, password: str, users: Iterable[str]) -> None:
    """The setting is the one place where the password of ``admin`` lives. Others get one when they first appear, and
    keep it: Airflow would make it too, and print it into its log."""
    known = json.loads(file.read_text()) if file.is_file() else {}
    others = {user: known.get(user) or secrets.token_urlsafe(16) for user in users}
    write_private(file, json.dumps(known | others | {USER: password}))


def main() -> NoReturn:
    listed = os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"].split(",")
    users = [each.partition(":")[0].strip() for each in listed if each.strip()]
    write_logins(Path(os.environ["AIRFLOW_HOME"]) / "passwords.json", Settings().airflow_password, users)
    sys.stdout.flush()
    os.execvp("airflow", ["airflow", "db", "migrate"])  # noqa: S606 - it takes this process' place


if __name__ == "__main__":
    main()
