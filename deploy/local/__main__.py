"""The command line of the local start: ``python -m deploy.local``, which is what ``make run`` runs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from churn.errors import ChurnError
from churn.settings import Settings
from deploy.local import first_start, preflight
from deploy.local.console import Console
from deploy.local.first_start import Options
from deploy.local.signals import Stopped
from deploy.local.supervisor import Supervisor

_SIGNAL_EXIT = 128


def main(arguments: Sequence[str] | None = None) -> int:
    """0 after a stop when everything had been up, 1 when something failed, 128 + signal when stopped before.

    With --exit-when-ready also 1 when everything is up but a DAG run failed, or nothing could be scored.
    """
    chosen = _parser().parse_args(arguments)
    options = Options(dags=chosen.dags.absolute(), api_app=chosen.api_app, exit_when_ready=chosen.exit_when_ready)
    console = Console()
    try:
        settings = Settings()
        with preflight.exclusive(settings.data_home):
            return _run(settings, options, console, with_parent=chosen.with_parent)
    except ValidationError as error:
        console.error(f"A setting is not what it should be (CHURN_* variables, .env):\n{error}")
    except ChurnError as error:
        console.error(str(error))
    return 1


def _run(settings: Settings, options: Options, console: Console, *, with_parent: bool) -> int:
    ready = False
    with Supervisor(console, settings.data_home, with_parent=with_parent) as supervisor:
        try:
            first_start.require_ports(settings)
            console.say(f"data home {settings.data_home}, logs in {settings.data_home / 'logs'}")
            complete = first_start.Start(settings, options, supervisor, console).run()
            ready = True
            if options.exit_when_ready:
                return 0 if complete else 1
            console.say("ready; Ctrl-C stops everything")
            for _ in supervisor.every(1.0, None, "a signal"):
                pass
        except Stopped as stopped:
            console.say(f"{stopped}: asked to stop")
            return 0 if ready else _SIGNAL_EXIT + stopped.number
    return 0


def _parser() -> argparse.ArgumentParser:
    defaults = Options()
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local",
        description="Starts MLflow, Airflow and the API on this machine, and scores customers for today.",
        epilog="Ports, places and the password are settings: CHURN_AIRFLOW_PORT, CHURN_MLFLOW_PORT, CHURN_API_PORT, "
        "CHURN_HOME, CHURN_AIRFLOW_PASSWORD. Set MLFLOW_TRACKING_URI to use a registry of your own.",
    )
    parser.add_argument("--exit-when-ready", action="store_true", help="stop again once customers are scored")
    parser.add_argument("--with-parent", action="store_true", help="also stop when the calling process ends (for make)")
    parser.add_argument("--dags", type=Path, default=defaults.dags, metavar="FOLDER", help="other DAG files")
    parser.add_argument("--api-app", default=defaults.api_app, metavar="MODULE:FACTORY", help="another API")
    return parser


if __name__ == "__main__":
    sys.exit(main())
