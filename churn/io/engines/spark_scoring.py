"""Scores of a feature file by Spark: each part of the file in a process that has the model."""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame

from churn.core.model import ChurnModel

_SCHEMA = "customer_id string, churn_probability double"


def scored(features: DataFrame, folder: Path) -> DataFrame:
    """``customer_id`` and ``churn_probability`` of each row, by the model saved in ``folder``."""
    columns = ChurnModel.load(folder).features
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    model = features.sparkSession.sparkContext.broadcast(files)
    return features.select("customer_id", *columns).mapInArrow(partial(_scored_batches, model), _SCHEMA)


def _scored_batches(
    files: "Broadcast[dict[str, bytes]]", batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    model = _unpacked(files.value)
    for batch in batches:
        x = np.column_stack([batch[name].to_numpy(zero_copy_only=False) for name in model.features])
        probability = pa.array(model.predict_proba(x), pa.float64())
        yield pa.RecordBatch.from_arrays([batch["customer_id"], probability], ["customer_id", "churn_probability"])


def _unpacked(files: dict[str, bytes]) -> ChurnModel:
    with tempfile.TemporaryDirectory(prefix="churn-model-") as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        return ChurnModel.load(Path(folder))
