"""The predictions' bodies: JSON written in C, every probability with the digits that give the same double back.

A batch's may be Arrow instead.
"""

from itertools import starmap

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class _Prediction(msgspec.Struct, gc=False):
    churn_prediction: int
    churn_probability: float
    no_churn_probability: float


class _Indexed(msgspec.Struct, gc=False):
    index: int
    churn_prediction: int
    churn_probability: float
    no_churn_probability: float


_ENCODER = msgspec.json.Encoder()
_SCHEMA = pa.schema(
    [
        pa.field("churn_prediction", pa.int8(), nullable=False),
        pa.field("churn_probability", pa.float64(), nullable=False),
        pa.field("no_churn_probability", pa.float64(), nullable=False),
    ]
)


def one(probability: float, decision: int) -> bytes:
    """The answer for one customer."""
    return _ENCODER.encode(_Prediction(decision, probability, 1.0 - probability))


def many(probability: NDArray[np.float64], decision: NDArray[np.int64]) -> bytes:
    """The answer for a batch, from both (n,)."""
    columns = (range(len(probability)), decision.tolist(), probability.tolist(), (1.0 - probability).tolist())
    return b'{"predictions":' + _ENCODER.encode(list(starmap(_Indexed, zip(*columns, strict=True)))) + b"}"


def many_as_arrow(probability: NDArray[np.float64], decision: NDArray[np.int64]) -> bytes:
    """The answer for a batch as an Arrow stream: the columns of the JSON's objects, in the order of the request."""
    columns = [decision.astype(np.int8), probability, 1.0 - probability]
    batch = pa.record_batch([pa.array(column) for column in columns], schema=_SCHEMA)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, _SCHEMA) as stream:
        stream.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content
