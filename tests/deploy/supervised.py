"""A supervisor over small services, as a process of its own that tests can signal and kill.

``python supervised.py HOME [--with-parent] [--stop-seconds N] NAME=CODE ...`` starts ``python -c CODE`` for each name,
prints ``ready``, and stays.
"""

import argparse
import os
import sys
from datetime import datetime
from pathlib import Path

from churn.errors import ChurnError
from deploy.local.console import Console
from deploy.local.services import Service
from deploy.local.signals import Stopped
from deploy.local.supervisor import Supervisor


class UpWhenFileIsThere:
    def __init__(self, path: Path) -> None:
        self.path = path

    def ok(self, since: datetime) -> bool:
        return self.path.exists()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("--with-parent", action="store_true")
    parser.add_argument("--stop-seconds", type=float, default=1.0)
    parser.add_argument("services", nargs="*")
    chosen = parser.parse_intermixed_args()
    services = []
    for pair in chosen.services:
        name, code = pair.split("=", 1)
        up = chosen.home / f"{name}.up"
        env = {**os.environ, "UP": str(up)}
        services.append(Service(name, name, (sys.executable, "-c", code), env, UpWhenFileIsThere(up), chosen.home))
    console = Console()
    with Supervisor(
        console, chosen.home, with_parent=chosen.with_parent, stop_seconds=chosen.stop_seconds
    ) as supervisor:
        try:
            for service in services:
                supervisor.start(service)
            supervisor.await_healthy(services)
            print("ready", flush=True)
            for _ in supervisor.every(0.1, None, "a signal"):
                pass
        except Stopped:
            return 0
        except ChurnError as error:
            console.error(str(error))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
