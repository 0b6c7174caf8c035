"""Predictions on their way to the log: packed small while they wait, then columns."""

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from time import time_ns

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from churn.core.features import CORE_FEATURES, FEATURE_NAMES
from churn.core.model import CORE, FULL
from churn.io.prediction_log import SCHEMA
from serving.customers import Customers
from serving.served import Scores

_WIDTHS = {True: len(FEATURE_NAMES), False: len(CORE_FEATURES)}
PACK = {complete: struct.Struct(f"<qdb{width}d").pack for complete, width in _WIDTHS.items()}
"""Time (ms), probability, decision, features: a third of a microsecond, and nothing for the garbage collector to
follow. By whether the row has every feature, or the core ones."""
_UNPACKED = {
    complete: np.dtype([("ts_ms", "<i8"), ("probability", "<f8"), ("decision", "i1"), ("row", "<f8", (width,))])
    for complete, width in _WIDTHS.items()
}
_PLACES = {
    True: {name: i for i, name in enumerate(FEATURE_NAMES)},
    False: {feature.name: i for i, feature in enumerate(CORE_FEATURES)},
}

Entry = tuple[tuple[str, str, str, str, bool], bytes]
"""Endpoint, version, role, model, whether every feature is there; and what ``PACK`` made of the rest."""


@dataclass(frozen=True)
class Block:
    """Predictions alike in everything but time, features and score."""

    endpoint: str
    version: str
    role: str
    model: str
    complete: bool
    ts_ms: NDArray[np.int64]
    probability: NDArray[np.float64]
    decision: NDArray[np.int64] | NDArray[np.int8]
    rows: NDArray[np.float64]
    """All features (n, k) where ``complete``, else the core ones."""

    def record(self, shadow: tuple[str, NDArray[np.float64]] | None) -> pa.RecordBatch:
        """As the log has it, with the shadow's version and what it would have said, where one was asked."""
        n, place = len(self.ts_ms), _PLACES[self.complete]
        by_feature = np.ascontiguousarray(self.rows.T)
        columns = {
            "ts_ms": pa.array(self.ts_ms),
            "endpoint": pa.repeat(self.endpoint, n),
            "model_version": pa.repeat(self.version, n),
            "model": pa.repeat(self.model, n),
            "role": pa.repeat(self.role, n),
            "churn_probability": pa.array(self.probability),
            "churn_prediction": pa.array(self.decision, pa.int8()),
            "shadow_version": pa.repeat(pa.scalar(shadow[0] if shadow else None, pa.string()), n),
            "shadow_probability": pa.array(shadow[1]) if shadow else _nulls(n),
            **{name: pa.array(by_feature[place[name]]) if name in place else _nulls(n) for name in FEATURE_NAMES},
        }
        return pa.record_batch([columns[name] for name in SCHEMA.names], schema=SCHEMA)

    def customers(self) -> Customers:
        """As a model takes them."""
        none = np.empty((0, _WIDTHS[not self.complete]))
        core, full = (none, self.rows) if self.complete else (self.rows, none)
        return Customers(core, full, np.full(len(self.rows), self.complete))


def blocks_of_ones(entries: Iterable[Entry]) -> Iterator[Block]:
    """Entries, those alike together."""
    alike: dict[tuple[str, str, str, str, bool], list[bytes]] = defaultdict(list)
    for kind, packed in entries:
        alike[kind].append(packed)
    for kind, packs in alike.items():
        found = np.frombuffer(b"".join(packs), _UNPACKED[kind[-1]])
        # Copied: Arrow takes plain arrays, not every so-many-th byte of one.
        ts_ms, probability, decision = (found[name].copy() for name in ("ts_ms", "probability", "decision"))
        yield Block(*kind, ts_ms, probability, decision, found["row"].copy())


def blocks_of_batch(
    endpoint: str, version: str, role: str, scores: Scores, customers: Customers, kept: NDArray[np.int64]
) -> list[Block]:
    """The customers at these places (rising): those that are complete, and those that are not."""
    now = time_ns() // 1_000_000
    ahead: NDArray[np.int64] = np.cumsum(customers.complete) - customers.complete  # complete ones before each
    places = {True: ahead, False: np.arange(len(ahead)) - ahead}
    blocks = []
    for complete, rows in ((True, customers.full), (False, customers.core)):
        here = kept[customers.complete[kept] == complete]
        if not len(here):
            continue
        # Mixed: each was answered by the model that it brings all features of.
        model = scores.model if scores.model in (CORE, FULL) else FULL if complete else CORE
        of_these = (np.full(len(here), now), scores.probability[here], scores.decision[here])
        blocks.append(Block(endpoint, version, role, model, complete, *of_these, rows[places[complete][here]]))
    return blocks


def _nulls(rows: int) -> pa.Array:
    return pa.nulls(rows, pa.float64())
