"""With Spark one finds the same: every feature, both kinds of label, the panel, the scores, to the last bit."""

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from churn.core.events import DAY_MS, KINDS
from churn.core.features import FEATURE_NAMES
from churn.core.training import train
from churn.errors import NotReady, Unavailable
from churn.io.contracts import load_contract
from churn.io.engines.duckdb import open_engine
from churn.io.engines.engine import SqlError
from churn.io.engines.spark_process import SparkProcess, spark_scores
from churn.io.lake import Lake, write_parquet
from churn.io.point_in_time import everyone_at, features_at, panel_at
from churn.io.session_days import SESSION_DAYS
from churn.io.totals import TOTALS
from tests.core.feature_rows import AS_OF, AS_OF_DAY, EVENT_SCHEMA, Event, event, events_between

_EPOCH = date(1970, 1, 1)
_DAY = _EPOCH + timedelta(days=AS_OF_DAY)
_NOON = AS_OF - DAY_MS // 2


def _ties() -> list[Event]:
    """What decides which event is the last: everything equal but one column."""
    ties: dict[str, list[dict[str, Any]]] = {
        "item": [{"item_in_session": 1, "plan": "paid"}, {"item_in_session": 2}],
        "no item": [{"item_in_session": None, "plan": "paid"}, {"item_in_session": 0}],
        "item -1 is as none": [{"item_in_session": None, "plan": "paid"}, {"item_in_session": -1}],
        "kind": [{"kind": "like", "plan": "paid"}, {"kind": "play"}],
        "plan": [{"plan": "paid"}, {"plan": "free"}],
        "session": [{"session_id": "9", "plan": "paid"}, {"session_id": "10"}],
        "session in capitals": [{"session_id": "b", "plan": "paid"}, {"session_id": "B"}],
        "session beyond ASCII": [{"session_id": "é", "plan": "paid"}, {"session_id": "z"}],
        "session beyond 16 bits": [{"session_id": "\N{GRINNING FACE}", "plan": "paid"}, {"session_id": "\uffee"}],
        "twice the same": [{}, {}],
    }
    return [event(f"tie: {name}", _NOON, **other) for name, both in ties.items() for other in both]


def _edges() -> list[Event]:
    """Days and windows are left in the millisecond before they end."""
    days = (AS_OF_DAY, *(AS_OF_DAY - n for n in (0, 1, 7, 14, 28)), AS_OF_DAY + 1)
    edges = [(f"edge {day} {ms}", day * DAY_MS + ms) for day in days for ms in (-1, 0, 1)]
    return [event(who, at, kind) for who, at in edges for kind in ("play", "advert", "upgrade")]


def _plan_changes() -> list[Event]:
    """Up, down and up again within one session, over midnight."""
    steps = [("play", "free"), ("upgrade", "free"), ("play", "paid"), ("downgrade", "paid"), ("play", "free")]
    start = AS_OF - DAY_MS - 2 * 60_000 - 1
    return [
        event(who, start + i * 60_000 + i, kind, plan=plan, item_in_session=i)
        for who, count in (("changes", 5), ("changes and stays up", 3))
        for i, (kind, plan) in enumerate(steps[:count])
    ]


def hand_made() -> list[Event]:
    names = [
        "o'brien",
        'say "hi"',
        "客户 7",
        "\N{GRINNING FACE}",
        "",
        " a",
        "a ",
        "A",
        "$a{b}",
        "\\n",
        "%_",
        "1e3",
        "007",
    ]
    return [
        *_ties(), *_edges(), *_plan_changes(),
        *(event(name, _NOON - i, session_id=name) for i, name in enumerate(names)),
        *(event("every kind", _NOON + i, kind) for i, kind in enumerate(k for k in KINDS if k != "cancel")),
        *(event("sub-second", _NOON + ms, item_in_session=ms) for ms in (0, 1, 999, 1000, 1001)),
        *(event("thirds", AS_OF - day * DAY_MS - 1, k, session_id=str(day)) for day in (1, 2, 4, 50) for k in
          ("play", "play", "like")),
        *(event("long ago", (40 + day) * DAY_MS, session_id=str(day)) for day in (0, 1, 5)),
        event("only looked", _NOON, "browse"),
        event("no registration", _NOON, registered_ms=None),
        event("registration in one of two", _NOON, registered_ms=None), event("registration in one of two", _NOON + 1),
        event("registers at the cut-off", AS_OF - 1, registered_ms=AS_OF),
        event("registers just before", AS_OF - 1, registered_ms=AS_OF - 1),
        event("cancelled", AS_OF - 2), event("cancelled", AS_OF - 1, "cancel"),
        event("cancels", AS_OF - 2), event("cancels", AS_OF, "cancel"),
        event("cancels late", AS_OF - 2), event("cancels late", AS_OF + 3 * DAY_MS - 1, "cancel"),
        event("cancels too late", AS_OF - 2), event("cancels too late", AS_OF + 3 * DAY_MS, "cancel"),
        event("comes back", AS_OF - 2), event("comes back", AS_OF + 2 * DAY_MS, duration_s=0.1),
        event("arrived late", AS_OF - 2), event("arrived late", AS_OF - 1, "like", ingested_ms=AS_OF),
        event("all arrived late", AS_OF - 1, ingested_ms=AS_OF + 5),
        event("new", AS_OF + DAY_MS),
    ]  # fmt: skip


def _lake(home: Path, events: Iterable[Event]) -> Lake:
    lake, days = Lake(home), defaultdict(list)
    for e in events:
        days[_EPOCH + timedelta(days=e["ts_ms"] // DAY_MS)].append(e)
    for day, of_day in days.items():
        write_parquet(lake.event_partition(day), pa.Table.from_pylist(of_day, EVENT_SCHEMA))
    return lake


def _both(lake: Lake, spark: SparkProcess, find: Callable[..., pa.Table]) -> tuple[pa.Table, pa.Table]:
    """What DuckDB and Spark find, each from the events alone. What they keep beside these is the same, too."""
    found, kept = [], []
    for engine in (open_engine, spark.engine):
        for name in (SESSION_DAYS, TOTALS):
            shutil.rmtree(lake.events / name, ignore_errors=True)
        found.append(find(engine=engine))
        kept.append({path: path.read_bytes() for path in lake.events.glob("_*/*/*.parquet")})
    assert kept[0] == kept[1]
    return found[0], found[1]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    # Spark takes a path for a pattern unless told otherwise.
    return _lake(tmp_path_factory.mktemp("home") / "it's [a] {b,c} * ? home #1 100%25 %41", hand_made())


def _assert_equal(duckdb: pa.Table, spark: pa.Table, folder: Path) -> None:
    """Every bit of what would be kept: schema, order of rows, zeros and signs of zeros."""
    assert spark.schema.equals(duckdb.schema, check_metadata=True)
    assert spark.to_pylist() == duckdb.to_pylist()
    for name, table in (("duckdb", duckdb), ("spark", spark)):
        write_parquet(folder / f"{name}.parquet", table)
    assert (folder / "spark.parquet").read_bytes() == (folder / "duckdb.parquet").read_bytes()


@pytest.mark.parametrize(
    ("known_at", "days"),
    [
        ("now", 0),
        pytest.param("then", 0, marks=pytest.mark.slow),
        pytest.param("now", 1, marks=pytest.mark.slow),
        pytest.param("then", 1, marks=pytest.mark.slow),
        pytest.param("now", -14, marks=pytest.mark.slow),
    ],
)
def test_features(lake: Lake, spark: SparkProcess, tmp_path: Path, known_at: Any, days: int) -> None:
    day = _DAY + timedelta(days=days)
    duckdb, found = _both(lake, spark, partial(features_at, lake, day, known_at=known_at))
    assert duckdb.column_names == ["customer_id", *FEATURE_NAMES]
    _assert_equal(duckdb, found, tmp_path)


def test_the_rows_by_hand_bring_out_every_feature(lake: Lake) -> None:
    found = features_at(lake, _DAY)
    same = [name for name in FEATURE_NAMES if len(set(found[name].to_pylist())) < 2]
    assert same == []
    then = features_at(lake, _DAY, known_at="then")
    assert set(found["customer_id"].to_pylist()) - set(then["customer_id"].to_pylist()) == {"all arrived late"}


@pytest.mark.slow
def test_features_of_a_part_of_the_log(lake: Lake, spark: SparkProcess, tmp_path: Path) -> None:
    duckdb, found = _both(lake, spark, partial(features_at, lake, _DAY, history_days=2))
    _assert_equal(duckdb, found, tmp_path)


@pytest.mark.slow
def test_everyone_with_those_who_cancelled(lake: Lake, spark: SparkProcess, tmp_path: Path) -> None:
    duckdb, found = _both(lake, spark, partial(everyone_at, lake, _DAY))
    assert {0, 1} == set(duckdb["cancelled"].to_pylist())
    _assert_equal(duckdb, found, tmp_path)


@pytest.mark.parametrize("contract", ["sparkify", pytest.param("transactions", marks=pytest.mark.slow)])
def test_a_panel_with_its_labels(lake: Lake, spark: SparkProcess, tmp_path: Path, contract: str) -> None:
    short = load_contract(contract).model_copy(update={"horizon_days": 3})
    snapshots = [_DAY - timedelta(days=days) for days in (14, 7, 1, 0)]
    as_of = _DAY + timedelta(days=3)
    duckdb, found = _both(lake, spark, partial(panel_at, lake, as_of, snapshots, short))
    assert {0, 1} == set(duckdb["churned"].to_pylist())
    assert set(duckdb["as_of"].to_pylist()) == set(snapshots)
    _assert_equal(duckdb, found, tmp_path)


@pytest.mark.slow
@settings(
    max_examples=2, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(groups=st.lists(st.lists(events_between(AS_OF - 45 * DAY_MS, AS_OF), max_size=25), min_size=30, max_size=30))
def test_any_events(spark: SparkProcess, tmp_path_factory: pytest.TempPathFactory, groups: list[list[Event]]) -> None:
    folder = tmp_path_factory.mktemp("any")
    named = [e | {"customer_id": f"{e['customer_id']}{i}"} for i, events in enumerate(groups) for e in events]
    lake = _lake(folder / "home", [*named, event("one at least", AS_OF - 1)])
    contract = load_contract("sparkify").model_copy(update={"horizon_days": 7})
    snapshots = [_DAY - timedelta(days=days) for days in (20, 13, 7)]
    duckdb, found = _both(lake, spark, partial(panel_at, lake, _DAY, snapshots, contract))
    _assert_equal(duckdb, found, folder)


@pytest.mark.slow
def test_nobody_is_an_empty_table_of_the_same_columns(spark: SparkProcess, tmp_path: Path) -> None:
    lake = _lake(tmp_path / "home", [event("a", AS_OF - 2), event("a", AS_OF - 1, "cancel")])
    duckdb, found = _both(lake, spark, partial(features_at, lake, _DAY))
    assert duckdb.num_rows == 0
    _assert_equal(duckdb, found, tmp_path)
    with pytest.raises(NotReady, match="no events"):
        features_at(lake, _EPOCH, engine=spark.engine)


def test_scores(spark: SparkProcess, tmp_path: Path) -> None:
    """Of more customers than Spark hands over at a time, by a model that takes two of the columns in another order."""
    rng, n = np.random.default_rng(1), 12_000
    known = pd.DataFrame(rng.normal(size=(300, 2)), columns=["a", "b"])
    model = train(known, (rng.random(300) < 1 / (1 + np.exp(1 - known["b"]))).astype(int), trials=0)
    a, b = rng.normal(size=(2, n)) * 10.0 ** rng.integers(-8, 9, size=(2, n))
    a[::7], b[::11], a[5], b[6] = np.nan, -0.0, np.inf, -np.inf
    ids = sorted(f"{i}{'é' * (i % 3)}{chr(39) * (i % 2)}" for i in range(n))
    features = pa.table({"customer_id": ids, "b": b, "x": a, "a": a})
    write_parquet(tmp_path / "a [b] *" / "features.parquet", features)
    found = spark_scores(model, features.to_pandas(), process=spark, path=tmp_path / "a [b] *" / "features.parquet")
    here = model.predict_proba(features.to_pandas())
    assert len(set(here)) > n / 2
    assert found.tobytes() == here.tobytes()
    with pytest.raises(Unavailable, match="score again"):
        spark_scores(model, features[:-1].to_pandas(), process=spark, path=tmp_path / "a [b] *" / "features.parquet")


def test_what_spark_cannot_run_is_said_and_the_next_caller_is_served(spark: SparkProcess) -> None:
    with spark.engine({}) as engine:
        engine.register("numbers", pa.table({"n": [1, 2, 3]}))
        with pytest.raises(SqlError, match="nowhere"):
            engine.table("select * from nowhere")
        with pytest.raises(SqlError, match="create temp table"):
            engine.execute("drop table numbers")
        with pytest.raises(SqlError, match="Unexpected token"):
            engine.table("selec n frm numbers")
        with pytest.raises(SqlError, match=r"(?i)overflow"):
            engine.table("select cast(n * 3000000000 as integer) as n from numbers")
        assert engine.table("select sum(n) as n from numbers")["n"].to_pylist() == [6]
    with spark.engine({}) as engine, pytest.raises(SqlError, match="numbers"):
        engine.table("select * from numbers")  # one caller's tables are not the next one's


def test_what_spark_meets_on_its_way_may_pass_and_is_no_fault_of_the_statement(
    spark: SparkProcess, tmp_path: Path
) -> None:
    path = tmp_path / "numbers.parquet"
    write_parquet(path, pa.table({"n": [1, 2, 3]}))
    with spark.engine({"numbers": [path]}) as engine:
        path.unlink()
        with pytest.raises(Unavailable, match=r"Spark: .*numbers\.parquet"):
            engine.table("select * from numbers")
        assert engine.rows("select 1 as n") == [(1,)]
