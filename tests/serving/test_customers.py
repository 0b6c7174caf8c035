"""The rules that a customer keeps: the same for one and for many, whatever comes in."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.core.features import FEATURES
from serving import bodies, customers
from serving.errors import Refused
from tests.serving.conftest import CUSTOMER, EXTENDED, FULL_CUSTOMER, NAMES

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-2, 2),
    st.floats(),
    st.sampled_from([10**400, -(10**400), 1e9, 1e9 + 1, 0.5, 2.0**53]),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
NAME = st.one_of(st.sampled_from([*NAMES, *EXTENDED[:5]]), st.text(max_size=20))


def verdict(take: Any, value: Any) -> list[dict[str, Any]] | None:
    try:
        take(value)
    except Refused as refused:
        problems = [p.as_json() for p in refused.problems]
        json.dumps(problems, allow_nan=False)
        return problems
    return None


@given(
    st.dictionaries(NAME, VALUES, max_size=3),
    st.sampled_from([CUSTOMER, FULL_CUSTOMER]),
    st.sampled_from([CUSTOMER, FULL_CUSTOMER]),
)
def test_one_and_many_judge_a_customer_alike(
    changes: dict[str, Any], base: dict[str, Any], other: dict[str, Any]
) -> None:
    customer = {**base, **changes}
    alone, among = verdict(customers.one, customer), verdict(customers.many, [other, customer, other])
    assert (alone is None) == (among is None)
    if alone and among:
        assert [(p["field"], p["found"], p["expected"]) for p in alone] == [
            (p["field"], p["found"], p["expected"]) for p in among
        ]
        assert {p["index"] for p in among} == {1}


@given(
    st.sampled_from(FEATURES),
    st.one_of(st.floats(), st.integers(-5, 10**10)),
    st.sampled_from([CUSTOMER, FULL_CUSTOMER]),
)
def test_a_number_is_taken_exactly_when_it_is_in_range(feature: Any, value: float, base: dict[str, Any]) -> None:
    allowed = feature.minimum <= value <= feature.maximum and (not feature.whole or float(value).is_integer())
    assert (verdict(customers.one, {**base, feature.name: value}) is None) == allowed


@given(st.one_of(VALUES, st.lists(VALUES, max_size=3)))
def test_what_is_no_customer_is_refused_not_an_error(value: Any) -> None:
    assert verdict(customers.one, value)
    assert verdict(customers.many, value)


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    verdict(bodies.parsed, body)


def test_the_table_has_the_columns_of_the_feature_list() -> None:
    customer = customers.one(dict(reversed(CUSTOMER.items())))
    assert customer.core.dtype == np.float64
    assert customer.core.tolist() == [[float(CUSTOMER[name]) for name in NAMES]]
    assert not len(customer.full)


def test_rows_are_parted_by_what_they_bring_and_put_together_again() -> None:
    some = {**CUSTOMER, "total_sessions": 3, EXTENDED[0]: 1}
    everything = dict(reversed(FULL_CUSTOMER.items())) | {"total_sessions": 4}
    parted = customers.many([CUSTOMER, everything, some, everything])
    assert parted.complete.tolist() == [False, True, False, True]
    assert parted.full.dtype == np.float64
    assert parted.full.tolist() == [[float(everything[f.name]) for f in FEATURES]] * 2
    assert parted.core.tolist() == [[float(row[name]) for name in NAMES] for row in (CUSTOMER, some)]
    assert parted.core_of_all()[:, NAMES.index("total_sessions")].tolist() == [10, 4, 3, 4]


@pytest.mark.parametrize("size", [0, 100_001])
def test_a_batch_has_at_least_one_and_at_most_a_hundred_thousand(size: int) -> None:
    assert verdict(customers.many, [CUSTOMER] * size)
