"""Batches as Arrow streams: the answers and the rules are those of JSON, and no stream is too strange for an answer."""

import json
import re
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from churn.core.features import CORE_FEATURES, FEATURES
from serving import arrow_tables, customers
from serving.arrow_tables import MAX_BATCHES, METADATA_LIMIT
from serving.bodies import ARROW, BATCH_LIMIT, wants_arrow
from serving.customers import MAX_ROWS
from serving.errors import Refused
from tests.serving.conftest import CUSTOMER, EXTENDED, FULL_CUSTOMER, NAMES, Platform, eventually, random_customers
from tests.serving.test_api_docs import HERE, PAGE, run
from tests.serving.test_server import started

BATCH = "/api/churn/batch_predict"
MB = 1024 * 1024
SENT = {"Content-Type": ARROW}
BOTH = SENT | {"Accept": ARROW}


def stream_of(table: pa.Table, rows: int | None = None, **options: Any) -> bytes:
    """The table as a stream, in record batches of so many rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as stream:
        stream.write_table(table, max_chunksize=rows)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def table_of(rows: int, every: bool = False, seed: int = 5) -> pa.Table:
    drawn = random_customers(rows, seed, FEATURES if every else CORE_FEATURES)
    return pa.table({name: drawn[name].to_numpy() for name in drawn})


def one(**other: Any) -> pa.Table:
    """One customer, with other columns in the place of some."""
    columns = {name: pa.array([value]) for name, value in CUSTOMER.items()}
    return pa.table(columns | other)


def post(client: httpx.Client, body: bytes | pa.Table, headers: Mapping[str, str] = SENT) -> httpx.Response:
    return client.post(BATCH, content=stream_of(body) if isinstance(body, pa.Table) else body, headers=dict(headers))


def problems_of(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/json"
    detail: list[dict[str, Any]] = answer.json()["detail"]
    return detail


def only_problem(answer: httpx.Response) -> dict[str, Any]:
    (problem,) = problems_of(answer)
    assert answer.json()["error_count"] == 1
    return problem


# -- what is right -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("every", "model"), [(False, "core"), (True, "full")])
def test_a_stream_is_answered_as_its_customers_are_in_json_to_the_bit(
    client: httpx.Client, every: bool, model: str
) -> None:
    table = table_of(300, every)
    in_json = client.post(BATCH, json=table.to_pylist())
    answer = post(client, table)
    assert answer.json() == in_json.json()
    assert answer.headers["content-type"] == "application/json"
    for name in ("x-model", "x-model-version"):
        assert answer.headers[name] == in_json.headers[name]
    assert answer.headers["x-model"] == model


@pytest.mark.parametrize("every", [False, True])
def test_an_arrow_answer_holds_what_the_json_one_does(client: httpx.Client, every: bool) -> None:
    table = table_of(300, every)
    wanted = post(client, table).json()["predictions"]
    for answer in (post(client, table, BOTH), client.post(BATCH, json=table.to_pylist(), headers={"Accept": ARROW})):
        assert answer.headers["content-type"] == ARROW
        assert answer.headers["x-model"] == ("full" if every else "core")
        assert answer.headers["x-model-version"] == "1"
        found = pa.ipc.open_stream(answer.content).read_all()
        assert found.schema.types == [pa.int8(), pa.float64(), pa.float64()]
        assert [{"index": i, **row} for i, row in enumerate(found.to_pylist())] == wanted


def test_the_order_of_columns_the_cut_into_batches_and_the_number_types_do_not_matter(client: httpx.Client) -> None:
    table = table_of(100)
    wanted = post(client, table).json()
    assert post(client, table.select(NAMES[::-1])).json() == wanted
    assert post(client, stream_of(table, 7)).json() == wanted
    assert post(client, stream_of(table, use_legacy_format=True)).json() == wanted
    whole = [f.name for f in CORE_FEATURES if f.whole and f.kind != "flag"]
    kinds = [pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint64(), pa.float32(), pa.float16()]
    for i, name in enumerate(whole):
        table = table.set_column(table.column_names.index(name), name, table[name].cast(kinds[i % len(kinds)]))
    assert len(whole) >= 6
    assert post(client, table).json() == wanted
    flag = table["is_paid_user"].cast(pa.bool_())
    assert post(client, table.drop(["is_paid_user"]).append_column("is_paid_user", flag)).json() == wanted


def test_a_sliced_table_and_one_with_empty_batches_are_taken(client: httpx.Client) -> None:
    table = table_of(50)
    wanted = post(client, pa.table({name: table[name].to_numpy()[9:31] for name in NAMES})).json()
    assert post(client, table.slice(9, 22)).json() == wanted
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        for part in (table.slice(0, 0), table.slice(9, 3), table.slice(0, 0), table.slice(12, 19)):
            stream.write_batch(part.to_batches()[0] if len(part) else pa.record_batch(
                [pa.array([], pa.float64())] * len(NAMES), schema=table.schema))  # fmt: skip
    assert post(client, sink.getvalue().to_pybytes()).json() == wanted


@pytest.mark.parametrize("left_out", [EXTENDED[:1], EXTENDED[-1:], EXTENDED[1:]])
def test_with_some_of_the_other_features_the_core_model_answers(client: httpx.Client, left_out: list[str]) -> None:
    table = table_of(40, every=True)
    answer = post(client, table.drop(left_out))
    assert answer.headers["x-model"] == "core"
    assert answer.json() == post(client, table.select(NAMES)).json()


def test_a_stream_that_ends_without_its_mark_is_taken(client: httpx.Client) -> None:
    whole = stream_of(table_of(10))
    assert whole.endswith(b"\xff\xff\xff\xff\0\0\0\0")
    assert post(client, whole[:-8]).json() == post(client, whole).json()


def test_a_hundred_thousand_customers_with_every_feature_come_in_one_stream(client: httpx.Client) -> None:
    """In JSON so many with every feature are more than a body may hold."""
    answer = post(client, table_of(MAX_ROWS, every=True), BOTH)
    assert answer.status_code == 200
    assert pa.ipc.open_stream(answer.content).read_all().num_rows == MAX_ROWS


def test_answers_to_streams_are_counted_like_any(client: httpx.Client) -> None:
    def counted(name: str) -> float:
        lines = re.findall(rf"^churn_{name}{{(.*)}} (\S+)$", client.get("/metrics").text, re.MULTILINE)
        return sum(float(value) for labels, value in lines if "batch" in labels or "champion" in labels)

    before = counted("predictions_total"), counted("requests_total")
    post(client, table_of(30), BOTH)
    assert (counted("predictions_total"), counted("requests_total")) == (before[0] + 30, before[1] + 1)


@pytest.mark.parametrize(
    ("accept", "arrow"),
    [
        (None, False), ("", False), ("*/*", False), ("application/*", False), ("application/json", False),
        (ARROW, True), (ARROW.upper(), True), (f"{ARROW}, */*;q=0.1", True), (f"application/json, {ARROW}", True),
        (f"{ARROW};q=0.5, application/json", False), (f"{ARROW} ; q=0.9,application/json; q=0.8", True),
        (f"{ARROW};q=0", False), (f"{ARROW};q=0.000", False), (f"{ARROW};q=nonsense", True), (f"{ARROW}x", False),
        (f"{ARROW};v=1;q=0.1, application/json", False),
    ],
)  # fmt: skip
def test_the_answer_is_arrow_where_accept_says_so(accept: str | None, arrow: bool) -> None:
    assert wants_arrow(accept) is arrow


# -- what is wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [-1.0, -1e-9, 0.5, 1e9 + 1, float("inf"), float("-inf"), float("nan"), 1e300])
def test_a_value_that_breaks_a_rule_is_named_as_in_json(client: httpx.Client, value: float) -> None:
    rows = [CUSTOMER, {**CUSTOMER, "total_sessions": value}]
    text = json.dumps(rows)
    in_json = problems_of(client.post(BATCH, content=text, headers={"Content-Type": "application/json"}))
    table = pa.table({name: np.array([row[name] for row in rows], dtype=float) for name in NAMES})
    assert problems_of(post(client, table)) == in_json
    assert (in_json[0]["field"], in_json[0]["index"]) == ("total_sessions", 1)


@pytest.mark.parametrize("value", [-(2**63), 2**63 - 1, 10**9 + 1, -1])
def test_an_integer_out_of_range_is_shown_as_it_came(client: httpx.Client, value: int) -> None:
    problem = only_problem(post(client, one(total_sessions=pa.array([value], pa.int64()))))
    assert (problem["field"], problem["index"], problem["found"], problem["expected"]) == (
        "total_sessions", 0, str(value), "a whole number from 0 to 1,000,000,000",
    )  # fmt: skip


@pytest.mark.parametrize("kind", [pa.float64(), pa.int32(), pa.bool_()])
def test_a_null_is_refused_and_its_row_named(client: httpx.Client, kind: pa.DataType) -> None:
    name = "is_paid_user"
    table = table_of(5).drop([name]).append_column(name, pa.array([1, 0, None, 1, 1]).cast(kind))
    problem = only_problem(post(client, table))
    assert (problem["field"], problem["index"], problem["found"]) == (name, 2, "null")


def test_a_fault_in_another_record_batch_has_its_place_in_the_whole(client: httpx.Client) -> None:
    values = np.zeros(1000)
    values[777] = -3
    table = table_of(1000).set_column(0, NAMES[0], pa.array(values))
    assert only_problem(post(client, stream_of(table, 100)))["index"] == 777


def test_many_faults_are_counted_and_listed_row_by_row_as_in_json(client: httpx.Client) -> None:
    rows = [{**CUSTOMER, "total_sessions": -1, "is_paid_user": 2}] * 1000
    answer = post(client, pa.Table.from_pylist(rows))
    assert answer.json() == client.post(BATCH, json=rows).json()
    assert (len(answer.json()["detail"]), answer.json()["error_count"]) == (20, 2000)


@pytest.mark.parametrize("name", NAMES)
def test_each_core_column_is_required(client: httpx.Client, name: str) -> None:
    for customer in (CUSTOMER, FULL_CUSTOMER):
        table = pa.Table.from_pylist([customer] * 3).drop([name])
        problem = only_problem(post(client, table))
        assert (problem["field"], problem["found"]) == (name, "nothing")
        assert "index" not in problem


def test_an_extended_column_keeps_its_rules_whether_or_not_all_came(client: httpx.Client) -> None:
    for customer in (CUSTOMER | {EXTENDED[0]: -1.5}, FULL_CUSTOMER | {EXTENDED[0]: -1.5}):
        problem = only_problem(post(client, pa.Table.from_pylist([customer])))
        assert (problem["field"], problem["index"], problem["found"]) == (EXTENDED[0], 0, "-1.5")


def test_an_unknown_column_is_refused_with_the_closest_name(client: httpx.Client) -> None:
    problem = only_problem(post(client, one(total_sesions=pa.array([1]))))
    assert problem["field"] == "total_sesions"
    assert "did you mean total_sessions?" in problem["expected"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["3"]), pa.array([b"3"]), pa.array([[3]]), pa.array([{"a": 3}]), pa.array(["3"]).dictionary_encode(),
        pa.array([3]).dictionary_encode(), pa.nulls(1), pa.array([3]).cast(pa.timestamp("ms")), pa.array([True]),
        pa.array([3]).cast(pa.decimal128(30, 2)), pa.array([3]).cast(pa.duration("s")),
        pa.RunEndEncodedArray.from_arrays([1], [3]), pa.array([3]).cast(pa.date64()),
    ],
    ids=lambda column: str(column.type)[:30],
)  # fmt: skip
def test_a_column_of_something_else_than_numbers_is_refused_by_its_type(client: httpx.Client, column: Any) -> None:
    problem = only_problem(post(client, one(total_sessions=column)))
    assert problem["field"] == "total_sessions"
    assert problem["found"] == f"a column of {column.type}"
    assert problem["expected"].endswith("each a whole number from 0 to 1,000,000,000")


def test_a_name_that_comes_twice_is_refused(client: httpx.Client) -> None:
    table = one().append_column("thumbs_up_count", pa.array([1]))
    problem = only_problem(post(client, table))
    assert (problem["field"], problem["found"]) == ("thumbs_up_count", "the name twice")


def test_a_table_without_rows_or_columns_or_with_too_many_rows_is_refused(client: httpx.Client) -> None:
    assert only_problem(post(client, table_of(5).slice(0, 0)))["found"] == "a stream of no rows"
    assert only_problem(post(client, table_of(MAX_ROWS + 1)))["found"] == "more than 100,000 customers"
    assert [p["field"] for p in problems_of(post(client, pa.table({})))] == NAMES
    assert (
        only_problem(post(client, stream_of(table_of(MAX_BATCHES + 1), 1)))["found"] == "more than 1,000 record batches"
    )
    assert post(client, stream_of(table_of(MAX_BATCHES), 1)).status_code == 200


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "an empty body"), (b"\xff\xff\xff\xff\0\0\0\0", "a stream of nothing"),
        (b"\0" * 4, "a stream of nothing"),
        (b"\xff\xff\xff\xff", "no Arrow stream"), (b"\xff" * 8, "no Arrow stream"), (b"ARROW1\0\0", "metadata"),
        (b'[{"a": 1}]', "metadata"), (b"\x07\0\0\0abc", "no Arrow stream"), (b"PK\x03\x04", "metadata"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x7f", "2,147,483,647 bytes of metadata"),
        (b"\xff\xff\xff\xff\0\0\0\x80", "no Arrow stream"),
        (stream_of(one())[8:], "no Arrow stream"), (stream_of(one()) + b"\0" * 8, "8 bytes after the stream's end"),
        (stream_of(one()) * 2, "bytes after the stream's end"),
    ],
)  # fmt: skip
def test_what_is_no_stream_is_refused_in_words(client: httpx.Client, body: bytes, says: str) -> None:
    assert says in only_problem(post(client, body))["msg"]


def test_json_said_to_be_arrow_and_arrow_said_to_be_json_are_refused(client: httpx.Client) -> None:
    only_problem(post(client, json.dumps([CUSTOMER]).encode()))
    only_problem(post(client, stream_of(one()), {"Content-Type": "application/json"}))
    answer = post(client, stream_of(one()), {"Content-Type": "application/octet-stream"})
    assert answer.status_code == 415
    assert answer.json()["detail"][0]["expected"] == f"application/json or {ARROW}"
    alone = client.post("/api/churn/predict", content=stream_of(one()), headers=SENT)
    assert alone.status_code == 415
    assert alone.json()["detail"][0]["expected"] == "application/json"


# -- what is meant to hurt ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_a_compressed_stream_is_refused_before_anything_is_unpacked(client: httpx.Client, codec: str) -> None:
    zeros = pa.table({name: np.zeros(4_000_000) for name in NAMES})
    bomb = stream_of(zeros, compression=codec)
    assert len(bomb) < 4 * MB
    with pytest.raises(Refused) as refusal:
        arrow_tables.of_body(bomb)
    assert refusal.value.problems[0].found == "a compressed record batch"
    assert pa.default_memory_pool().bytes_allocated() < zeros.nbytes + MB
    assert "compressed" in only_problem(post(client, bomb))["found"]


def test_a_dictionary_is_refused_wherever_it_comes() -> None:
    """Also under a schema that promises none."""
    with_one = stream_of(pa.table({"a": pa.array([3]).dictionary_encode()}))
    schema, plain = stream_of(one().slice(0, 0)), stream_of(one())
    head = schema.removesuffix(b"\xff\xff\xff\xff\0\0\0\0")
    start = 8 + struct.unpack_from("<i", with_one, 4)[0]
    with pytest.raises(Refused) as refusal:
        arrow_tables.of_body(head[: 8 + struct.unpack_from("<i", plain, 4)[0]] + with_one[start:])
    assert "dictionary" in refusal.value.problems[0].found


def test_a_schema_of_very_many_columns_is_refused_before_it_is_read() -> None:
    many = stream_of(pa.table({f"c{i}": pa.array([0]) for i in range(5000)}))
    with pytest.raises(Refused) as refusal:
        arrow_tables.of_body(many)
    assert refusal.value.problems[0].found.endswith("bytes of metadata")
    every = table_of(1, every=True)
    assert struct.unpack_from("<i", stream_of(every), 4)[0] * 4 < METADATA_LIMIT


def numbers_in(body: bytes, size: int) -> Iterator[int]:
    """Where the metadata of the first record batch may hold a number of that size."""
    start = 8 + struct.unpack_from("<i", body, 4)[0]
    yield from range(start + 8, start + 8 + struct.unpack_from("<i", body, start + 4)[0] - size + 1, 4)


HUGE = (2**62, 2**40, 2**31, 100_001, 2**63 - 1, -1, -(2**63))


def test_lengths_that_promise_more_than_there_is_are_refused_and_take_no_memory() -> None:
    """Each 8 bytes of a record batch's metadata (its rows, the places and sizes of its buffers, its body) in turn."""
    body = bytearray(stream_of(table_of(64)))
    process, refusals = psutil.Process(), 0
    before = process.memory_info().rss
    for place in numbers_in(bytes(body), 8):
        for number in HUGE:
            changed = bytearray(body)
            struct.pack_into("<q", changed, place, number)
            refusals += looked_at(bytes(changed))
    assert refusals > 500
    assert process.memory_info().rss < before + 100 * MB


def test_each_cut_and_each_changed_byte_is_answered() -> None:
    body = stream_of(table_of(3), 2)
    for end in range(0, len(body), 3):
        looked_at(body[:end])
    for place in range(len(body)):
        for change in (0x01, 0x80, 0xFF):
            changed = bytearray(body)
            changed[place] ^= change
            looked_at(bytes(changed))


@pytest.mark.slow
@settings(max_examples=1500, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_stream_is_too_strange_for_an_answer(data: st.DataObject) -> None:
    looked_at(data.draw(damaged()))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Streams of any columns, some bytes of which are others or in another place."""
    kinds = st.sampled_from([pa.array([1, 2]), pa.array([0.5, None]), pa.array(["a", "b"]).dictionary_encode(),
                             pa.array([[1], []]), pa.array([True, False]), pa.array(["x", "y" * 40])])  # fmt: skip
    names = draw(st.lists(st.sampled_from([*NAMES, "", "é", "x"]), max_size=20))
    random = pa.table([draw(kinds) for _ in names], names=names) if names else pa.table({})
    body = bytearray(stream_of(draw(st.sampled_from([random, one(), table_of(2, every=True)]))))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, max(0, len(body) - 1)))
        piece = draw(
            st.binary(max_size=9) | st.sampled_from([struct.pack("<q", n) for n in HUGE] + [bytes(body[:200])])
        )
        body[place : place + draw(st.sampled_from([0, len(piece), 8, 64]))] = piece
    return bytes(body)


def looked_at(body: bytes) -> bool:
    """Whether it was refused; anything but customers that keep the rules and a refusal fails."""
    try:
        found = arrow_tables.of_body(body)
    except Refused as e:
        assert e.status == 422
        assert 1 <= len(e.problems) == min(e.count, 20)
        said = json.dumps([problem.as_json() for problem in e.problems], allow_nan=False)
        assert len(said) < 20 * 1000
        return True
    assert 0 < len(found.complete) <= MAX_ROWS
    rows = [*map(list, found.core.tolist()), *map(list, found.full.tolist())]
    names = [f.name for f in FEATURES] if found.complete.all() else NAMES
    again = customers.many([dict(zip(names, row, strict=True)) for row in rows])  # by the rules of JSON
    assert len(again.complete) == len(found.complete)
    return False


def large() -> Iterator[tuple[str, bytes]]:
    """As large as a body may be; each kind that takes most memory for its bytes."""
    rows = BATCH_LIMIT // 8 // len(NAMES) - 1000
    yield "too many rows", stream_of(pa.table({name: np.zeros(rows) for name in NAMES}))
    yield "nulls", stream_of(pa.table({f.name: pa.nulls(MAX_ROWS, pa.float64()) for f in FEATURES}))
    yield "faults", stream_of(pa.table({f.name: np.full(MAX_ROWS, -1.0) for f in FEATURES}))
    yield "batches", stream_of(one()) * 10_000
    yield "wide", stream_of(pa.table({str(i): pa.array([0], pa.int8()) for i in range(20_000)}))
    yield "long name", stream_of(pa.table({"x" * 60_000: pa.array([0])}))
    yield "zeros", bytes(BATCH_LIMIT)
    yield "ones", b"\xff" * BATCH_LIMIT
    yield "bomb", stream_of(pa.table({name: np.zeros(40_000_000) for name in NAMES[:2]}), compression="zstd")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_process_answers_large_streams_and_holds_no_more_afterwards(tmp_path: Path, served: Platform) -> None:
    with started(tmp_path, app=None, home=str(served.settings.data_home)) as running:
        eventually(lambda: running.answers("/readyz"), seconds=120)
        process = psutil.Process(running.process.pid)
        begin = process.memory_info().rss
        with httpx.Client(base_url=running.url, trust_env=False, timeout=60) as client:
            for _ in range(2):
                for name, body in large():
                    answer = post(client, body)
                    assert answer.status_code in (413, 422), (name, answer.status_code)
                    print(f"{name}: {len(body) / MB:.0f} MB, {process.memory_info().rss / MB:.0f} MB")
                    assert process.memory_info().rss < begin + 1000 * MB
            eventually(lambda: process.memory_info().rss < begin + 400 * MB)
            assert post(client, one()).status_code == 200


# -- the page ----------------------------------------------------------------------------------------------------------


def test_the_pages_example_runs(client: httpx.Client, tmp_path: Path) -> None:
    (block,) = re.findall(r"```py\n(.*?)```", PAGE, re.DOTALL)
    assert HERE in block
    printed = run(sys.executable, "-", text=block.replace(HERE, str(client.base_url).rstrip("/")), folder=tmp_path)
    assert re.fullmatch(r"1000 scored by core of version 1, the highest 0\.\d+\n", printed)


def test_the_pages_numbers_are_those_of_the_code() -> None:
    assert f"{MAX_BATCHES:,} record batches" in PAGE
    assert METADATA_LIMIT == 64 * 1024 and "64 KiB of metadata" in PAGE


def test_the_document_names_both_forms(client: httpx.Client) -> None:
    said = client.get("/openapi.json").json()["paths"][BATCH]["post"]
    assert list(said["requestBody"]["content"]) == ["application/json", ARROW]
    assert set(said["responses"]["200"]["content"]) == {"application/json", ARROW}
