"""Asks the API of this machine whether it is ready: ``python -m serving.probe``, a container's health check."""

import http.client
import os
import sys


def ready(port: int, seconds: float = 2.0) -> bool:
    """Whether it has a model and takes requests. Asks this machine directly, past any proxy."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if ready(int(os.environ.get("CHURN_API_PORT", "8000"))) else 1)
