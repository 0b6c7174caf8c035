"""The rules that a customer keeps: the same for one and for many, whatever comes in."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.core.features import CORE_FEATURES
from serving import bodies, customers
from serving.errors import Refused
from tests.serving.conftest import CUSTOMER, NAMES

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
NAME = st.one_of(st.sampled_from(NAMES), st.text(max_size=20))


def verdict(take: Any, value: Any) -> list[dict[str, Any]] | None:
    try:
        take(value)
    except Refused as refused:
        problems = [p.as_json() for p in refused.problems]
        json.dumps(problems, allow_nan=False)
        return problems
    return None


@given(st.dictionaries(NAME, VALUES, max_size=3))
def test_one_and_many_judge_a_customer_alike(changes: dict[str, Any]) -> None:
    customer = {**CUSTOMER, **changes}
    alone, among = verdict(customers.one, customer), verdict(customers.many, [CUSTOMER, customer, CUSTOMER])
    assert (alone is None) == (among is None)
    if alone and among:
        assert [(p["field"], p["found"], p["expected"]) for p in alone] == [
            (p["field"], p["found"], p["expected"]) for p in among
        ]
        assert {p["index"] for p in among} == {1}


@given(st.sampled_from(CORE_FEATURES), st.one_of(st.floats(), st.integers(-5, 10**10)))
def test_a_number_is_taken_exactly_when_it_is_in_range(feature: Any, value: float) -> None:
    allowed = feature.minimum <= value <= feature.maximum and (not feature.whole or float(value).is_integer())
    assert (verdict(customers.one, {**CUSTOMER, feature.name: value}) is None) == allowed


@given(st.one_of(VALUES, st.lists(VALUES, max_size=3)))
def test_what_is_no_customer_is_refused_not_an_error(value: Any) -> None:
    assert verdict(customers.one, value)
    assert verdict(customers.many, value)


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    verdict(bodies.parsed, body)


def test_the_table_has_the_columns_of_the_feature_list() -> None:
    table = customers.one(dict(reversed(CUSTOMER.items())))
    assert table.dtype == np.float64
    assert table.tolist() == [[float(CUSTOMER[name]) for name in NAMES]]


@pytest.mark.parametrize("size", [0, 100_001])
def test_a_batch_has_at_least_one_and_at_most_a_hundred_thousand(size: int) -> None:
    assert verdict(customers.many, [CUSTOMER] * size)
