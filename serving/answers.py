"""The predictions' bodies: JSON written in C, every probability with the digits that give the same double back."""

from itertools import starmap

import msgspec
import numpy as np
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


def one(probability: float, decision: int) -> bytes:
    """The answer for one customer."""
    return _ENCODER.encode(_Prediction(decision, probability, 1.0 - probability))


def many(probability: NDArray[np.float64], decision: NDArray[np.int64]) -> bytes:
    """The answer for a batch, from both (n,)."""
    columns = (range(len(probability)), decision.tolist(), probability.tolist(), (1.0 - probability).tolist())
    return b'{"predictions":' + _ENCODER.encode(list(starmap(_Indexed, zip(*columns, strict=True)))) + b"}"
