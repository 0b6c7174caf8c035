"""Requests in the log of predictions, made up: what the tests of the drift step and of what it reads share."""

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from churn.core.features import CORE_FEATURES, FEATURE_NAMES, FEATURES
from churn.core.model import FULL
from churn.io.prediction_log import SCHEMA, write

FIRST = CORE_FEATURES[0].name


def asked(home: Path, day: date, rows: int, *, model: str = FULL, version: str = "1", shift: float = 0.0) -> None:
    """Requests of one day, all alike but for chance; ``shift`` adds to the feature ``FIRST`` of each."""
    random = np.random.default_rng([7, day.toordinal(), rows])
    columns = {name: pa.nulls(rows, pa.float64()) for name in FEATURE_NAMES}
    for feature in FEATURES if model == FULL else CORE_FEATURES:
        columns[feature.name] = pa.array(random.gamma(4.0, 2.0, rows) + (shift if feature.name == FIRST else 0.0))
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    texts = {"endpoint": "batch", "model_version": version, "model": model, "role": "champion"}
    columns |= {name: pa.repeat(text, rows) for name, text in texts.items()}
    columns |= {
        "ts_ms": pa.array(midnight + np.arange(rows)),
        "churn_probability": pa.array(random.random(rows)),
        "churn_prediction": pa.array(np.zeros(rows), pa.int8()),
        "shadow_version": pa.nulls(rows, pa.string()),
        "shadow_probability": pa.nulls(rows, pa.float64()),
    }
    write(home, pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA))
