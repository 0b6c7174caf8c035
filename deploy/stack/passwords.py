"""The secrets of the containers: which there are, what they are until somebody sets them, and fresh ones.

``python -m deploy.stack.passwords`` prints fresh ones as lines for ``.env``. To be done once: PostgreSQL takes its
passwords when its volume is new.
"""

import base64
import os
import secrets
import sys
from collections.abc import Mapping

from serving.keys import new_key

KNOWN = {
    "CHURN_AIRFLOW_PASSWORD": "admin",
    "GRAFANA_PASSWORD": "admin",
    "POSTGRES_PASSWORD": "postgres",
    "AIRFLOW_DB_PASSWORD": "airflow",
    "MLFLOW_DB_PASSWORD": "mlflow",
    "CHURN_DB_PASSWORD": "churn",
    "REDIS_PASSWORD": "redis",
}
"""What docker-compose.yaml takes where nothing is set: known to everybody."""
KEYS = ("CHURN_FERNET_KEY", "CHURN_SECRET_KEY", "CHURN_JWT_SECRET")
"""What Airflow encrypts and signs with; empty where nothing is set."""
API_KEYS = "CHURN_API_KEYS"


def unset(environment: Mapping[str, str]) -> list[str]:
    """Names of the secrets that everybody knows, in the order of ``.env``."""
    known = [name for name, value in KNOWN.items() if environment.get(name, value) in ("", value)]
    return known + [name for name in (*KEYS, API_KEYS) if not environment.get(name)]


def fresh() -> dict[str, str]:
    """New secrets. In URLs they stand as they are, so there is nothing in them that a URL would have to quote."""
    key = new_key()
    return {
        **{name: secrets.token_urlsafe(24) for name in KNOWN},
        "CHURN_FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "CHURN_SECRET_KEY": secrets.token_urlsafe(32),
        "CHURN_JWT_SECRET": secrets.token_urlsafe(64),
        API_KEYS: key.digest,
        # Prometheus asks the API with it; the API knows its digest.
        "CHURN_METRICS_KEY": key.key,
    }


if __name__ == "__main__":
    sys.stdout.writelines(f"{name}={value}\n" for name, value in fresh().items())
