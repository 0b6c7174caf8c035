"""Tonight's list with reasons and filters, its sheet, one customer, the profit curve and the nightly checks."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest

from churn.core.reasons import Reason
from churn.io.checks import Checks
from churn.io.scorebook import Publication, ScoreBook
from serving.profit import curve
from serving.sheet import EXAMPLE, HEADER
from tests.serving.conftest import Platform, platform_in, running

TOP, SHEET, CUSTOMERS, PROFIT, MONITORING = (
    f"/api/churn/{name}" for name in ("top", "top.csv", "customers", "profit", "monitoring")
)
TODAY = datetime.now(UTC).date()
RECENCY, SESSIONS = "time_since_last_activity", "total_sessions"


def because(
    *contributions: tuple[str, float], text: str = "12 days since the last visit, usually 3"
) -> tuple[Reason, ...]:
    return tuple(Reason(feature, 12.0, 3.0, contribution, text) for feature, contribution in contributions)


def publish(
    platform: Platform,
    scores: dict[str, float],
    reasons: Sequence[tuple[Reason, ...]] | None = None,
    night: date = TODAY,
    version: str = "3",
) -> Publication:
    p = np.array(list(scores.values()), float)
    with closing(platform.book) as book:
        return book.publish(
            night, version, list(scores), p, (p >= 0.5).astype(np.int64), threshold=0.5, reasons=reasons
        )


SCORES = {"a-1": 0.9, "b-2": 0.7, "c-3": 0.2, "d-10": 0.6}
REASONS = [
    because((RECENCY, 1.5), (SESSIONS, -0.5)), because((SESSIONS, 0.8)), because((SESSIONS, -2.0)),
    because((SESSIONS, -0.9), (RECENCY, 0.4)),
]  # fmt: skip


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory, served: Platform) -> Iterator[httpx.Client]:
    """A running service over a published night with reasons."""
    platform = platform_in(tmp_path_factory.mktemp("listed"), mlflow_tracking_uri=served.settings.tracking_uri)
    publish(platform, SCORES, REASONS)
    with running(platform.settings) as client:
        yield client


def names(client: httpx.Client, **filters: Any) -> list[str]:
    answer = client.get(TOP, params=filters)
    assert answer.status_code == 200, answer.text
    return [customer["customer_id"] for customer in answer.json()["customers"]]


# --- The list -----------------------------------------------------------------------------------------------------


def test_a_customer_on_the_list_comes_with_reasons_and_what_a_contact_is_expected_to_earn(listed: httpx.Client) -> None:
    body = listed.get(TOP, params={"limit": 1}).json()
    assert body["matching"] == 4
    assert body["customers"] == [
        {
            "customer_id": "a-1", "churn_probability": 0.9, "churn_prediction": 1,
            "expected_profit": pytest.approx(0.75 * 200 * 0.9 - 50), "reasons": [vars(r) for r in REASONS[0]],
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["a-1", "b-2", "d-10", "c-3"]),
        ({"minimum": 0.6}, ["a-1", "b-2", "d-10"]),
        ({"decision": 0}, ["c-3"]),
        ({"decision": 1, "limit": 2}, ["a-1", "b-2"]),
        ({"reason": RECENCY}, ["a-1", "d-10"]),
        ({"reason": SESSIONS}, ["b-2"]),
        ({"reason": "is_paid_user"}, []),
        ({"search": "-1"}, ["a-1", "d-10"]),
        ({"search": "A-"}, ["a-1"]),
        ({"search": "%"}, []),
        ({"search": "_"}, []),
        ({"search": ""}, ["a-1", "b-2", "d-10", "c-3"]),
        ({"search": "\0"}, []),
        ({"reason": RECENCY, "search": "0", "minimum": 0.1, "decision": 1}, ["d-10"]),
    ],
)
def test_filters_narrow_the_list_and_the_sheet_alike(
    listed: httpx.Client, filters: dict[str, Any], found: list[str]
) -> None:
    assert names(listed, **filters) == found
    rows = list(csv.DictReader(io.StringIO(listed.get(SHEET, params=filters).text, newline="")))
    assert [row["customer_id"] for row in rows] == found
    if "limit" not in filters:
        assert listed.get(TOP, params={**filters, "limit": 1}).json()["matching"] == len(found)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("minimum", "1.1", "less than or equal to 1"),
        ("minimum", "nan", "a finite number"),
        ("decision", "2", "less than or equal to 1"),
        ("decision", "", "a valid integer"),
        ("reason", "tenure", "the name of a feature"),
        ("search", "x" * 201, "200 characters at most"),
        ("limit", "0", "greater than or equal to 1"),
    ],
)
@pytest.mark.parametrize("path", [TOP, SHEET])
def test_a_filter_that_cannot_be_meant_is_refused_in_words(
    listed: httpx.Client, path: str, name: str, value: str, words: str
) -> None:
    answer = listed.get(path, params={name: value})
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert problem["loc"] == ["query", name]
    assert words in problem["expected"]
    assert len(answer.content) < 1000


# --- The sheet ----------------------------------------------------------------------------------------------------


def test_the_sheet_is_a_download_named_after_its_night(listed: httpx.Client) -> None:
    answer = listed.get(SHEET)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="churn-{TODAY}.csv"'
    header, first, *_ = csv.reader(io.StringIO(answer.text, newline=""))
    assert tuple(header) == HEADER
    text = REASONS[0][0].text
    assert first == ["a-1", "0.9", "1", "85.0", text, text, ""]
    assert answer.content.endswith(b"\r\n")


def test_the_example_of_a_sheet_is_one() -> None:
    rows = list(csv.reader(io.StringIO(EXAMPLE, newline="")))
    assert tuple(rows[0]) == HEADER
    assert [len(row) for row in rows] == [len(HEADER)] * 2


def test_no_cell_of_the_sheet_is_run_by_a_spreadsheet_and_none_breaks_a_row(scored: Platform) -> None:
    ids = ["=1+1", "+49", "-5", "@x", "\tt", " =1", "＝1", 'say "hi", you\r\nthere', "ünï", "100"]
    text = "=HYPERLINK(1)"
    publish(scored, dict.fromkeys(ids, 0.25), [because((RECENCY, 1.0), text=text)] * len(ids))
    with running(scored.settings) as client:
        answer = client.get(SHEET)
    _, *rows = csv.reader(io.StringIO(answer.content.decode("utf-8"), newline=""))
    plain = {'say "hi", you\r\nthere', "ünï", "100"}
    assert {row[0] for row in rows} == {i if i in plain else f"'{i}" for i in ids}
    assert {tuple(row[1:]) for row in rows} == {("0.25", "0", "-12.5", f"'{text}", "", "")}


def test_a_sheet_of_many_customers_comes_in_pieces_and_has_each_once_riskiest_first(scored: Platform) -> None:
    scores = {f"c{i:05}": (i % 7) / 10 for i in range(2500)}  # many alike, across the edges of the pieces
    publish(scored, scores)
    with running(scored.settings) as client, client.stream("GET", SHEET) as answer:
        pieces = list(answer.iter_raw())
    _, *rows = csv.reader(io.StringIO(b"".join(pieces).decode(), newline=""))
    assert [row[0] for row in rows] == sorted(scores, key=lambda c: (-scores[c], c))
    assert len(pieces) >= 3


# --- One customer -------------------------------------------------------------------------------------------------


def test_a_customer_is_told_with_the_newest_score_and_its_reasons(listed: httpx.Client) -> None:
    body = listed.get(f"{CUSTOMERS}/d-10").json()
    published_at = datetime.fromisoformat(body.pop("published_at"))
    assert published_at.utcoffset() == timedelta(0)
    assert body == {
        "customer_id": "d-10", "as_of": TODAY.isoformat(), "model_version": "3", "churn_probability": 0.6,
        "churn_prediction": 1, "threshold": 0.5, "expected_profit": pytest.approx(40), "age_days": 0, "stale": False,
        "reasons": [vars(r) for r in REASONS[3]],
    }  # fmt: skip


def test_a_customer_of_an_earlier_night_is_told_with_that_one_and_as_stale(scored: Platform) -> None:
    publish(scored, {"gone": 0.4, "here": 0.3}, night=TODAY - timedelta(days=4), version="2")
    publish(scored, {"here": 0.1})
    with running(scored.settings) as client:
        gone, here = (client.get(f"{CUSTOMERS}/{name}").json() for name in ("gone", "here"))
    assert (gone["churn_probability"], gone["model_version"], gone["age_days"], gone["stale"]) == (0.4, "2", 4, True)
    assert (gone["reasons"], here["churn_probability"], here["stale"]) == ([], 0.1, False)


def test_a_customer_id_may_hold_any_characters(scored: Platform) -> None:
    ids = ["a/b", "x?y=1#z", "50%", "ünï'; --", "with space", "/", "top", "%2F", "a//b/"]
    publish(scored, {name: n / 10 for n, name in enumerate(ids)})
    with running(scored.settings) as client:
        for n, name in enumerate(ids):
            for path in (quote(name, safe=""), quote(name, safe="/")):
                assert client.get(f"{CUSTOMERS}/{path}").json()["churn_probability"] == n / 10, name


@pytest.mark.parametrize("name", ["nobody", "", "\0", "a-", "A-1", "%", "x" * 5000])
def test_a_customer_without_a_score_is_not_found(listed: httpx.Client, name: str) -> None:
    answer = listed.get(f"{CUSTOMERS}/{quote(name, safe='')}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "no score of this customer has been published"})


# --- Profit -------------------------------------------------------------------------------------------------------


def test_the_profit_curve_counts_who_is_contacted_and_what_that_earns(listed: httpx.Client) -> None:
    body = listed.get(PROFIT).json()
    assert (body["as_of"], body["model_version"], body["threshold"]) == (TODAY.isoformat(), "3", 0.5)
    assert (body["contact_cost"], body["retained_value"], body["contact_success"]) == (50, 200, 0.75)
    assert body["customers_scored"] == 4
    points = {point["threshold"]: point for point in body["points"]}
    counted = {0.0: (4, 2.4), 0.2: (4, 2.4), 0.5: (3, 2.2), 0.6: (3, 2.2), 0.7: (2, 1.6), 0.9: (1, 0.9), 0.901: (0, 0)}
    assert list(points) == list(counted)
    for threshold, (customers, leavers) in counted.items():
        point = points[threshold]
        assert (point["customers"], point["expected_leavers"]) == (customers, pytest.approx(leavers))
        assert point["expected_profit"] == pytest.approx(150 * leavers - 50 * customers)


@pytest.mark.parametrize("count", [1, 150, 201, 5000])
def test_every_point_of_a_curve_is_what_counting_gives(count: int) -> None:
    probability = np.sort(np.random.default_rng(count).beta(1, 20, count))
    found = curve(probability, published=0.3301)
    assert len(found.threshold) <= 201
    assert (np.diff(found.threshold) > 0).all()
    assert {0.0, 0.3301, probability[0], probability[-1]} <= set(found.threshold)
    assert (found.threshold[-1] <= 1, found.customers[0], found.customers[-1]) == (True, count, 0)
    for threshold, customers, leavers in zip(found.threshold, found.customers, found.leavers, strict=True):
        contacted = probability[probability >= threshold]
        assert (customers, pytest.approx(leavers)) == (len(contacted), contacted.sum())
    # No step of more than a fiftieth of the customers, and none of more than a fiftieth of the range.
    inside = found.threshold[(found.threshold >= probability[0]) & (found.threshold <= probability[-1])]
    if count > 201:
        assert np.diff(found.customers).min() >= -count / 50
        gaps = np.flatnonzero(np.diff(inside) > (probability[-1] - probability[0]) / 50)
        assert all(((probability > inside[i]) & (probability < inside[i + 1])).sum() == 0 for i in gaps)


def test_a_certain_leaver_is_contacted_at_every_threshold() -> None:
    found = curve(np.array([0.5, 1.0]), published=0.5)
    assert (found.threshold.tolist(), found.customers.tolist()) == ([0.0, 0.5, 1.0], [2, 2, 1])


def test_the_scores_are_read_once_for_a_publication_and_again_for_the_next(
    scored: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Publication] = []
    profile = ScoreBook.profile

    def counted(self: ScoreBook, of: Publication) -> Any:
        read.append(of)
        return profile(self, of)

    monkeypatch.setattr(ScoreBook, "profile", counted)
    first = publish(scored, {"a": 0.4})
    with running(scored.settings) as client:
        assert client.get(PROFIT).json() == client.get(PROFIT).json()
        assert read == [first]
        again = publish(scored, {"a": 0.7})
        assert client.get(PROFIT).json()["points"][1]["threshold"] == 0.5
        assert client.get(PROFIT).json()["points"][2]["threshold"] == 0.7
        assert read == [first, again]


# --- The nightly checks -------------------------------------------------------------------------------------------


def figures(roc_auc: float | None) -> dict[str, Any]:
    return {"roc_auc": roc_auc, "roc_auc_low": 0.6, "roc_auc_high": 0.8, "precision": 0.3, "expected_precision": 0.4}


def test_monitoring_tells_the_nights_oldest_first_and_the_newest_word_on_each_check(scored: Platform) -> None:
    nights = [TODAY - timedelta(days=n) for n in (3, 2, 1)]
    with closing(Checks(scored.settings.score_database)) as checks:
        for n, night in enumerate(nights):
            drifted = {"drifted": ["total_sessions"] if n == 1 else [], "nights": n}
            checks.record(night, "drift", "3", alarm=n == 1, summary=f"drift {n}", detail=drifted)
            detail = {
                "expected": {"roc_auc": 0.7},
                "realised": figures(0.7) if n else None,
                "limit": 0.66 if n else None,
            }
            checks.record(night, "performance", "3", alarm=n == 2, summary=f"performance {n}", detail=detail)
            checks.record(night, "early_warning", "3", alarm=False, summary=f"warning {n}", detail={"nights": []})
    with running(scored.settings) as client:
        body = client.get(MONITORING).json()
        assert [(d["summary"], d["alarm"], d["drifted"]) for d in body["drift"]] == [
            ("drift 0", False, []), ("drift 1", True, ["total_sessions"]), ("drift 2", False, []),
        ]  # fmt: skip
        assert body["performance"] == {
            "as_of": nights[2].isoformat(), "model_version": "3", "alarm": True, "summary": "performance 2",
            "expected": {"roc_auc": 0.7}, "realised": figures(0.7), "limit": 0.66,
        }  # fmt: skip
        assert body["performance_nights"] == [
            {
                "as_of": night.isoformat(),
                "model_version": "3",
                "alarm": n == 1,
                "expected_roc_auc": None,
                **figures(0.7),
            }
            for n, night in enumerate(nights[1:])
        ]
        newest = {"as_of": nights[2].isoformat(), "model_version": "3", "alarm": False, "summary": "warning 2"}
        assert body["early_warning"] == newest
        fewer = client.get(MONITORING, params={"nights": 1}).json()
        assert [d["summary"] for d in fewer["drift"]] == ["drift 2"]
        assert len(fewer["performance_nights"]) == 1
        assert client.get(MONITORING, params={"nights": 0}).status_code == 422


# --- Nothing there, and away --------------------------------------------------------------------------------------


def test_before_the_first_publication_all_is_empty_and_nothing_fails(scored: Platform) -> None:
    with running(scored.settings) as client:
        assert client.get(TOP).json()["matching"] == 0
        sheet, profit = client.get(SHEET), client.get(PROFIT).json()
        assert (sheet.status_code, sheet.text) == (200, ",".join(f'"{name}"' for name in HEADER) + "\r\n")
        assert sheet.headers["content-disposition"] == 'attachment; filename="churn.csv"'
        assert (profit["as_of"], profit["threshold"], profit["customers_scored"], profit["points"]) == (
            None,
            None,
            0,
            [],
        )
        assert client.get(f"{CUSTOMERS}/a").status_code == 404
        assert client.get(MONITORING).json() == {
            "drift": [], "performance": None, "performance_nights": [], "early_warning": None,
        }  # fmt: skip


def test_a_publication_without_customers_has_an_empty_list_and_curve(scored: Platform) -> None:
    publish(scored, {})
    with running(scored.settings) as client:
        assert client.get(TOP).json()["customers"] == []
        assert client.get(PROFIT).json()["points"] == []


@pytest.mark.parametrize("path", [TOP, SHEET, f"{CUSTOMERS}/a", PROFIT, MONITORING])
def test_a_database_that_is_away_is_503(tmp_path: Path, served: Platform, path: str) -> None:
    (tmp_path / "folder").mkdir()
    away = {"database_url": f"sqlite:///{tmp_path}/folder", "mlflow_tracking_uri": served.settings.tracking_uri}
    with running(platform_in(tmp_path, **away).settings) as client:
        answer = client.get(path)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert str(tmp_path) not in answer.text


def test_every_parameter_and_field_of_the_lists_is_described_or_shown(listed: httpx.Client) -> None:
    document = listed.get("/openapi.json").json()
    for path in (TOP, SHEET, f"{CUSTOMERS}/{{customer_id}}", PROFIT, MONITORING):
        operation = document["paths"][path]["get"]
        assert operation["summary"] and operation["description"]
        for parameter in operation.get("parameters", []):
            assert parameter["description"] and parameter["schema"].get("examples", parameter.get("example")), parameter
    assert "text/csv" in document["paths"][SHEET]["get"]["responses"]["200"]["content"]
    assert document["components"]["schemas"]["TopCustomer"]["properties"]["reasons"]["examples"]
