"""The quick way from bytes to numbers: it never takes what the exact way refuses, and gives the same numbers."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.core.features import FEATURES
from serving import answers, bodies, customers, quick
from serving.errors import Refused
from tests.serving.conftest import CUSTOMER, EXTENDED, FULL_CUSTOMER, NAMES, random_customers

WHOLE = [f.name for f in FEATURES if f.whole]
TEXTS = st.sampled_from(
    ["01", "1.", ".5", "+1", "-0", "-0.0", "1e2", "1E+2", "1e-400", "1e400", "-1", "NaN", "Infinity", "null", "true",
     "false", '"1"', "[1]", "{}", "1_0", "0x1", "1e", "--1", "1 2", "", "9" * 40, "9" * 5000, "0.1e", "1\u00a0",
     "0.30000000000000004", "9007199254740993", "0.1000000000000000055511151231257827", "2.2250738585072011e-308",
     "1000000000", "1000000000.0000001", "999999999.99999999999", "4.35", "123456789012345678e-15", "5e-324"]
)  # fmt: skip


def exact(take: Callable[[Any], customers.Customers], body: bytes) -> customers.Customers | None:
    try:
        return take(bodies.parsed(body))
    except Refused:
        return None


def same(found: customers.Customers | None, wanted: customers.Customers | None) -> bool:
    """Bit for bit."""
    if found is None or wanted is None:
        return found is wanted
    return all(a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b) for a, b in zip(found, wanted))


def of_body(body: bytes) -> customers.Customers | None:
    try:
        return customers.of_body(body)
    except Refused:
        return None


def one_of_body(body: bytes) -> customers.Customer | None:
    try:
        return customers.one_of_body(body)
    except Refused:
        return None


def agree(text: str | bytes) -> None:
    """One customer's body, and the same among others."""
    body = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    found, wanted = one_of_body(body), exact(customers.one, body)
    if found is None or wanted is None:
        assert found is wanted, body
    else:
        assert np.array_equal([found.core], wanted.core_of_all())
        assert all(type(value) is float for value in found.core)
        assert ([] if found.full is None else [list(found.full)]) == wanted.full.tolist()
    for batch in (b"[%b]", b"[ %b , " + json.dumps(FULL_CUSTOMER).encode() + b"]\n"):
        assert same(of_body(batch % body), exact(customers.many, batch % body)), body


def written(customer: dict[str, Any], name: str, text: str) -> str:
    return json.dumps(customer | {name: "@"}).replace('"@"', text)


@settings(deadline=None)
@given(st.sampled_from([CUSTOMER, FULL_CUSTOMER]), st.sampled_from([*NAMES, *EXTENDED]), TEXTS)
def test_a_number_written_in_any_way_is_taken_alike(base: dict[str, Any], name: str, text: str) -> None:
    agree(written(base, name, text))


@settings(deadline=None)
@given(st.sampled_from([f.name for f in FEATURES if not f.whole]), st.floats(0, 1000), st.integers(0, 25))
def test_any_digits_give_the_same_double(name: str, value: float, digits: int) -> None:
    agree(written(FULL_CUSTOMER, name, f"{value:.{digits}e}"))
    agree(written(FULL_CUSTOMER, name, f"{value:.{digits}f}"))


@settings(deadline=None)
@given(st.sampled_from([CUSTOMER, FULL_CUSTOMER]), st.data())
def test_a_body_damaged_anywhere_is_judged_alike(base: dict[str, Any], data: st.DataObject) -> None:
    body = bytearray(json.dumps(base).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.one_of(
                st.binary(max_size=2), st.sampled_from([b",", b":", b'"', b"{", b"}", b"[", b"]", b" ", b"\\u0061"])
            )
        )
    agree(bytes(body))


@pytest.mark.parametrize("base", [CUSTOMER, FULL_CUSTOMER], ids=["core", "full"])
def test_a_name_that_comes_twice_is_refused_whichever_way(base: dict[str, Any]) -> None:
    text = json.dumps(base)
    for name in ("total_sessions", "thumbs_up_ratio"):
        for twice in (f'{text[:-1]}, "{name}": 1}}', f'{{"{name}": 1, {text[1:]}'):
            agree(twice)
            with pytest.raises(Refused, match="twice"):
                customers.one_of_body(twice.encode())
            with pytest.raises(Refused, match="twice"):
                customers.of_body(f"[{text}, {twice}, {text}]".encode())
    # In place of another one, so that their number is right.
    agree(text.replace('"is_paid_user"', '"total_sessions"'))
    agree(text.replace('"is_paid_user"', '"total\\u005fsessions"'))
    agree(text.replace('"is_paid_user"', '"is\\u005fpaid_user"'))


def test_the_ordinary_bodies_are_taken_the_quick_way() -> None:
    for customer in (CUSTOMER, FULL_CUSTOMER, dict(reversed(FULL_CUSTOMER.items()))):
        for text in (json.dumps(customer), json.dumps(customer, indent=2), json.dumps(customer, separators=(",", ":"))):
            assert quick.row(text.encode()) is not None
            assert quick.table(f"[{text}, {text}]".encode(), 2) is not None
            assert quick.table(f"[{text}, {text}]".encode(), 1) is None
    assert quick.table(json.dumps([CUSTOMER | {"is_paid_user": True}, FULL_CUSTOMER]).encode(), 2) is not None


@pytest.mark.parametrize("kind", ["core", "full", "mixed"])
def test_a_batch_cut_into_parts_keeps_every_customer_in_order(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    rows = random_customers(300, seed=4, features=FEATURES).to_dict("records")
    for i, row in enumerate(rows):
        left_out = {"core": EXTENDED, "full": [], "mixed": [EXTENDED, EXTENDED[:2], []][i % 3]}[kind]
        for name in left_out:
            del row[name]
    for indent in (None, 1):
        body = json.dumps(rows, indent=indent).encode()
        wanted = exact(customers.many, body)
        for size in (1, 700, 5000, 10**9):
            monkeypatch.setattr(quick, "_CHUNK", size)
            found = quick.table(body, 300)
            assert found is not None and len(found) == 300
            assert quick.table(body, 299) is None
            assert same(of_body(body), wanted)


@pytest.mark.parametrize(
    "text",
    ["[]", "[ ]", "[@", "[@,]", "[@ @]", "[@,,@]", "[,@]", "@,@", "[@],[@]", "[@][@]", "[@]]", "[[@]]", "[@] x", "[@],",
     "[@}]", "[@,@,]", "[@,@,\x0b@]", "[@,@]\x0c", "\ufeff[@,@]", "[@,null]", "[@,@", "[@,@,1]", ""],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 400, 10**9])
def test_what_is_no_array_is_refused_wherever_it_is_cut(monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    monkeypatch.setattr(quick, "_CHUNK", size)
    for customer in (CUSTOMER, FULL_CUSTOMER):
        body = text.replace("@", json.dumps(customer)).encode()
        assert same(of_body(body), exact(customers.many, body))


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), max_size=20))
def test_answers_read_back_as_the_same_doubles(given_: list[tuple[float, int]]) -> None:
    p, d = np.array([p for p, _ in given_]), np.array([d for _, d in given_], dtype=np.int64)
    wanted = [{"churn_prediction": b, "churn_probability": a, "no_churn_probability": 1.0 - a} for a, b in given_]
    assert json.loads(answers.many(p, d)) == {"predictions": [{"index": i, **w} for i, w in enumerate(wanted)]}
    for (a, b), w in zip(given_, wanted, strict=True):
        assert json.loads(answers.one(a, b)) == w
        assert list(json.loads(answers.one(a, b))) == list(w)


def test_rows_are_whole_where_they_must_be() -> None:
    for name in WHOLE:
        assert quick.row(json.dumps(FULL_CUSTOMER | {name: 0.5}).encode()) is None
