"""A client of the REST API. Needs httpx and nothing else of the library: import it, or copy this folder."""

from .answers import (
    EventsPrediction,
    Explanation,
    Feature,
    Health,
    ListedCustomer,
    ModelInfo,
    Prediction,
    PublishedScore,
    Reason,
    TopList,
)
from .api import ChurnClient, Customer
from .errors import ApiError, Busy, InvalidRequest, NotFound, Problem, Unauthorised, Unreachable

__all__ = [
    "ApiError",
    "Busy",
    "ChurnClient",
    "Customer",
    "EventsPrediction",
    "Explanation",
    "Feature",
    "Health",
    "InvalidRequest",
    "ListedCustomer",
    "ModelInfo",
    "NotFound",
    "Prediction",
    "Problem",
    "PublishedScore",
    "Reason",
    "TopList",
    "Unauthorised",
    "Unreachable",
]
