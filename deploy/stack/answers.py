"""What a container's health check runs: ``python -m deploy.stack.answers URL [COMPONENT]``; exit code 0: it is well.

With a component (``scheduler``, ``dag_processor``, ``triggerer``) the answer is Airflow's own report of its parts, and
that part has to be healthy: it has no port of its own.
"""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence

_SECONDS = 4.0


def well(url: str, component: str | None = None) -> bool:
    """Whether it answers 200, and the component is healthy. Past any proxy."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=_SECONDS) as answer:
            return component is None or json.load(answer)[component]["status"] == "healthy"
    except (urllib.error.URLError, OSError, ValueError, KeyError, TypeError):
        return False


def main(arguments: Sequence[str]) -> int:
    return 0 if well(*arguments) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
