"""Boosted trees compiled for one row: no tree is walked; each feature crosses out the leaves that it rules out.

Lucchese et al., QuickScorer: a Fast Algorithm to Rank Documents with Additive Ensembles of Regression Trees (SIGIR
2015). The leaves of all trees are the bits of one integer, from left to right. A test that fails rules out the leaves
of its left branch; of what is left of a tree, the first leaf is the one that the row falls into. What a value rules out
is known in advance for every interval between a feature's thresholds.
"""

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import groupby
from operator import and_, attrgetter, getitem
from typing import Any, NamedTuple

import numpy as np
import xgboost as xgb

from churn.core.curves import finite
from churn.errors import ContractViolation

_MEMORY = 64 * 2**20
"""Bytes of masks at most: 300 trees of depth 3 over 64 features take less than one megabyte."""
_LARGEST = float(np.finfo(np.float64).max)
_LIMIT = float(np.float32(finite(np.array([_LARGEST]))[0]))
"""The largest value that the model lets XGBoost see."""


_Tree = Mapping[str, Sequence[Any]]
"""One tree as XGBoost saves it: a list per property, a value per node; no child is -1."""


class _Test(NamedTuple):
    """A node's test ``value < threshold``."""

    feature: int
    threshold: float
    left: int
    """The leaves under its left branch, as bits of the whole."""
    missing_fails: bool


class CompiledTrees:
    """Gives the margin of XGBoost's own prediction of one row."""

    def __init__(self, booster: xgb.Booster, features: int) -> None:
        """Raises ContractViolation where the booster is more than plain binary trees, or too large."""
        learner = json.loads(bytes(booster.save_raw("json")))["learner"]
        if (found := int(learner["learner_model_param"]["num_feature"])) != features:
            raise ContractViolation(f"trees of {found} features: expected {features}")
        flat = [_flattened(tree) for tree in _trees(learner)]
        # A tree of one leaf stands for the base score, with which XGBoost's sum begins.
        leaves = [[_base_margin(learner)], *(values for values, _ in flat)]
        width = _width(max(map(len, leaves)))
        bits = width * len(leaves)
        everywhere = [
            _Test(feature, threshold, ((1 << end) - (1 << start)) << tree * width, fails)
            for tree, (_, tests) in enumerate(flat, start=1)
            for feature, threshold, start, end, fails in tests
        ]
        thresholds = len({(t.feature, t.threshold) for t in everywhere})
        if (size := (thresholds + 3 * features) * bits // 8) > _MEMORY:
            raise ContractViolation(f"trees that take {size:,} bytes compiled: at most {_MEMORY:,} are wanted")
        made = [_intervals([t for t in everywhere if t.feature == i], (1 << bits) - 1) for i in range(features)]
        self._bounds, self._masks = [bounds for bounds, _ in made], [masks for _, masks in made]
        self._bytes, self._words = bits // 8, np.dtype(f"<u{width // 8}")
        # The bits of a word below and with its first one are counted from one.
        self._starts = np.cumsum([0, *map(len, leaves[:-1])]) - 1
        self._leaves = np.concatenate([np.array(values, dtype=np.float32) for values in leaves])

    def log_odds(self, row: Sequence[float]) -> float:
        left = reduce(and_, map(getitem, self._masks, map(bisect_right, self._bounds, row)))
        words = np.frombuffer(left.to_bytes(self._bytes, "little"), self._words)
        first = np.bitwise_count(words ^ (words - 1))
        # Added up one after the other, as XGBoost does: in single precision the order matters.
        return float(np.add.accumulate(self._leaves.take(self._starts + first))[-1])


def _trees(learner: Mapping[str, Any]) -> list[_Tree]:
    """The booster's trees, all numbers plain."""
    kind, objective = learner["gradient_booster"]["name"], learner["objective"]["name"]
    sizes = {name: int(learner["learner_model_param"][name]) for name in ("num_class", "num_target")}
    if kind != "gbtree" or objective != "binary:logistic" or max(sizes.values()) > 1:
        raise ContractViolation(f"a booster {kind} of {objective}, {sizes}: expected gbtree of binary:logistic")
    trees: list[_Tree] = learner["gradient_booster"]["model"]["trees"]
    if any(any(tree["split_type"]) for tree in trees):
        raise ContractViolation("a tree that splits by categories: expected numbers only")
    return trees


def _base_margin(learner: Mapping[str, Any]) -> float:
    """Log-odds of the base score, in single precision."""
    one, base = np.float32(1), np.float32(json.loads(learner["learner_model_param"]["base_score"])[0])
    return -math.log(one / base - one)


def _width(leaves: int) -> int:
    """Bits per tree."""
    for width in (8, 16, 32, 64):
        if leaves <= width:
            return width
    raise ContractViolation(f"a tree with {leaves} leaves: at most 64 can be compiled")


def _flattened(tree: _Tree) -> tuple[list[float], list[tuple[int, float, int, int, bool]]]:
    """Values of the leaves from left to right; of each node feature, threshold, the leaves [start, end) under its
    left branch, and whether a missing value goes right."""
    left, right, values = tree["left_children"], tree["right_children"], tree["split_conditions"]
    leaves: list[float] = []
    tests: list[tuple[int, float, int, int, bool]] = []
    stack: list[tuple[int, int | None]] = [(0, None)]
    while stack:
        node, start = stack.pop()
        if left[node] == -1:
            leaves.append(values[node])
        elif start is None:
            stack += [(node, len(leaves)), (left[node], None)]
        else:  # the left branch is done
            fails = not tree["default_left"][node]
            threshold = float(np.float32(values[node]))  # read from text, it would be a neighbour of what XGBoost has
            tests.append((tree["split_indices"][node], threshold, start, len(leaves), fails))
            stack.append((right[node], None))
    return leaves, tests


def _intervals(tests: Sequence[_Test], every: int) -> tuple[list[float], list[int]]:
    """Of one feature: bounds in which to place a value, and the leaves that each place leaves.

    Places are: minus infinity, which is missing; every finite number from the smallest on; infinity and NaN, which are
    missing and sort behind everything.
    """
    missing = every
    for test in tests:
        if test.missing_fails:
            missing &= ~test.left
    bounds, masks = [-_LARGEST], [missing, every]
    for threshold, same in groupby(sorted(tests, key=attrgetter("threshold")), key=attrgetter("threshold")):
        if threshold > _LIMIT:  # no value that the model lets through fails these
            break
        bounds.append(_first_failing(threshold))
        masks.append(reduce(and_, (~test.left for test in same), masks[-1]))
    return [*bounds, math.inf], [*masks, missing]


def _first_failing(threshold: float) -> float:
    """The smallest double that single precision rounds to the threshold or above, so that ``value < threshold`` fails.

    A double is rounded to the nearer neighbour, from half-way to the even one.
    """
    if threshold <= -_LIMIT:
        return -_LARGEST
    t = np.float32(threshold)
    halfway = (float(t) + float(np.nextafter(t, np.float32(-np.inf)))) / 2
    return halfway if np.float32(halfway) == t else math.nextafter(halfway, math.inf)
