"""Before Airflow's first process: ``python -m deploy.stack.prepare`` writes its login and migrates its database."""

import json
import os
import sys
from pathlib import Path
from typing import NoReturn

from churn.settings import Settings
from deploy.local.airflow_home import USER, write_private


def write_login(file: Path, password: str) -> None:
    """The setting is the one place where the password of ``admin`` lives; those that Airflow made for others stay."""
    passwords = json.loads(file.read_text()) if file.is_file() else {}
    write_private(file, json.dumps(passwords | {USER: password}))


def main() -> NoReturn:
    write_login(Path(os.environ["AIRFLOW_HOME"]) / "passwords.json", Settings().airflow_password)
    sys.stdout.flush()
    os.execvp("airflow", ["airflow", "db", "migrate"])  # noqa: S606 - it takes this process' place


if __name__ == "__main__":
    main()
