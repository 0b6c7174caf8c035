"""The score book on SQLite and on a real PostgreSQL: one night is published whole or not at all, and once."""

import gc
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from churn.core.reasons import Reason
from churn.errors import BadInput, NotReady, Unavailable
from churn.io.scorebook import KEPT_REASONS, REASONS, SCORES, Publication, Score, ScoreBook

NIGHT = date(2026, 3, 1)
NEXT_NIGHT = NIGHT + timedelta(days=1)


def opened(url: str) -> "closing[ScoreBook]":
    """A score book whose connections are closed at the end."""
    return closing(ScoreBook(url))


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    """A connection beside the book's own; the tables are there."""
    with opened(url) as book:
        book.latest()
        engine = sa.create_engine(book.url)
        with engine.connect() as db:
            yield db
        engine.dispose()


def latest_of(url: str) -> Publication | None:
    with opened(url) as book:
        return book.latest()


def top_of(url: str, limit: int = 10) -> list[Score]:
    with opened(url) as book:
        return book.top(limit)


def published(
    url: str,
    scores: dict[str, float],
    *,
    night: date = NIGHT,
    version: str = "1",
    threshold: float = 0.5,
    reasons: Sequence[tuple[Reason, ...]] | None = None,
    shadow: bool = False,
) -> Publication:
    probability = np.array(list(scores.values()), float)
    prediction = (probability >= threshold).astype(np.int64)
    given: Any = {"threshold": threshold, "reasons": reasons, "shadow": shadow}
    with opened(url) as book:
        return book.publish(night, version, list(scores), probability, prediction, **given)


def held(url: str) -> list[tuple[Any, ...]]:
    """Every row of the scores table, in order."""
    with connected(url) as db:
        return [tuple(row) for row in db.execute(sa.select(SCORES).order_by(*SCORES.primary_key.columns))]


def because(**contributions: float) -> tuple[Reason, ...]:
    """Reasons of some features, one of them missing, strongest first."""
    values = (None, 1 / 3, 12.0, 0.0, 5e-324, 1e38, -7.25)
    return tuple(
        Reason(feature, value, 2 / 3, contribution, f"{feature} ist für “{value}” da")
        for (feature, contribution), value in zip(contributions.items(), values, strict=False)
    )


def explained(url: str) -> dict[str, tuple[str | None, list[str]]]:
    """Customer: the feature that raises the score, and those of the reasons that are kept."""
    with connected(url) as db:
        rows = db.execute(sa.select(REASONS)).all()
    return {row.customer_id: (row.raised_by, [reason["feature"] for reason in row.reasons]) for row in rows}


def numbered(count: int, probability: float) -> dict[str, float]:
    return {f"c{number:06}": probability for number in range(count)}


def test_an_empty_book_has_no_latest_and_no_top(url: str) -> None:
    assert latest_of(url) is None
    assert top_of(url, 10) == []


def test_what_is_published_is_what_is_read(url: str) -> None:
    before = datetime.now(UTC)
    publication = published(url, {"39": 0.25, "40": 1 / 3, "ünï'; --": 0.75})
    assert held(url) == [
        (NIGHT, "39", "1", 0.25, 0), (NIGHT, "40", "1", 1 / 3, 0), (NIGHT, "ünï'; --", "1", 0.75, 1),
    ]  # fmt: skip
    latest = latest_of(url)
    assert latest == publication
    assert latest.published_at.utcoffset() == timedelta(0)
    assert before <= latest.published_at <= datetime.now(UTC)
    assert (latest.customers, latest.predicted_to_churn, latest.threshold) == (3, 1, 0.5)
    assert latest.mean_probability == pytest.approx((0.25 + 1 / 3 + 0.75) / 3)


def test_the_same_scores_again_change_nothing_not_even_the_time(url: str) -> None:
    first = published(url, numbered(100, 1 / 3))
    rows = held(url)
    assert published(url, numbered(100, 1 / 3)) == first
    assert latest_of(url) == first
    assert held(url) == rows


def test_the_same_scores_in_another_order_change_nothing(url: str) -> None:
    first = published(url, {"a": 0.1, "b": 0.9})
    assert published(url, {"b": 0.9, "a": 0.1}) == first


def test_one_changed_score_is_a_new_publication(url: str) -> None:
    first = published(url, {"a": 0.1, "b": 0.9})
    again = published(url, {"a": np.nextafter(0.1, 1), "b": 0.9})
    assert again.published_at > first.published_at
    assert held(url)[0][3] == np.nextafter(0.1, 1)


def test_a_night_published_again_by_an_earlier_version_is_that_versions_again(url: str) -> None:
    """As after a rollback: what was published last is what is read."""
    published(url, {"a": 0.1}, version="1")
    published(url, {"a": 0.9}, version="2")
    published(url, {"a": 0.1}, version="1")
    latest = latest_of(url)
    assert latest is not None
    assert latest.model_version == "1"


def test_another_threshold_is_a_new_publication(url: str) -> None:
    published(url, {"a": 0.1, "b": 0.9}, threshold=0.5)
    published(url, {"a": 0.1, "b": 0.9}, threshold=0.6)
    latest = latest_of(url)
    assert latest is not None and latest.threshold == 0.6


def test_fewer_customers_published_again_leave_none_of_the_others(url: str) -> None:
    published(url, {"a": 0.1, "b": 0.9, "c": 0.5})
    again = published(url, {"b": 0.9})
    assert [row[1] for row in held(url)] == ["b"]
    assert again.customers == 1


def test_a_night_without_customers_is_a_publication_too(url: str) -> None:
    published(url, {"a": 0.1})
    published(url, {})
    latest = latest_of(url)
    assert latest is not None and (latest.customers, latest.mean_probability) == (0, 0.0)
    assert held(url) == []
    assert top_of(url) == []


def test_nights_and_versions_stand_beside_each_other(url: str) -> None:
    published(url, {"a": 0.1}, version="1")
    published(url, {"a": 0.2}, version="2")
    published(url, {"a": 0.3}, version="2", night=NEXT_NIGHT)
    published(url, {"a": 0.4}, version="1")
    assert [row[:4] for row in held(url)] == [
        (NIGHT, "a", "1", 0.4), (NIGHT, "a", "2", 0.2), (NEXT_NIGHT, "a", "2", 0.3),
    ]  # fmt: skip


def test_the_latest_is_the_newest_night_and_of_its_versions_the_last_published(url: str) -> None:
    published(url, {"a": 0.1}, night=NEXT_NIGHT, version="10")
    published(url, {"a": 0.2}, night=NEXT_NIGHT, version="9")
    published(url, {"a": 0.3}, night=NIGHT, version="11")  # a backfill, later
    latest = latest_of(url)
    assert latest is not None and (latest.as_of, latest.model_version) == (NEXT_NIGHT, "9")
    assert [score.churn_probability for score in top_of(url, 5)] == [0.2]


def test_the_riskiest_come_first_and_ties_go_by_customer(url: str) -> None:
    published(url, {"b": 0.5, "d": 0.9, "a": 0.5, "c": 0.1, "e": 0.5})
    assert [score.customer_id for score in top_of(url, 10)] == ["d", "a", "b", "e", "c"]
    assert [score.customer_id for score in top_of(url, 2)] == ["d", "a"]
    assert top_of(url, 0) == []


def test_a_shadow_is_kept_beside_what_is_published_and_never_shown(url: str) -> None:
    shown = published(url, {"a": 0.1, "b": 0.2}, version="1")
    rows = held(url)
    shadow = published(url, {"a": 0.9, "b": 0.8}, version="2", night=NEXT_NIGHT, shadow=True)
    assert latest_of(url) == shown
    assert [score.churn_probability for score in top_of(url)] == [0.2, 0.1]
    assert held(url) == rows
    with opened(url) as book:
        assert (book.publications(), book.publications(shadow=True)) == ([shown], [shadow])
        assert book.scores(shadow, shadow=True)["churn_probability"].tolist() == [0.9, 0.8]
        assert book.scores(shadow).empty
    assert published(url, {"b": 0.8, "a": 0.9}, version="2", night=NEXT_NIGHT, shadow=True) == shadow
    # The same night and version published for real is another thing.
    assert published(url, {"a": 0.9}, version="2", night=NEXT_NIGHT).customers == 1
    with opened(url) as book:
        assert len(book.scores(shadow, shadow=True)) == 2


def test_publications_come_oldest_first_between_two_dates_both_included(url: str) -> None:
    nights = [NIGHT + timedelta(days=n) for n in (2, 0, 3, 1)]
    for night in nights:
        published(url, {"a": 0.1}, night=night)
    again = published(url, {"a": 0.2}, night=NIGHT, version="2")
    with opened(url) as book:
        assert [p.as_of for p in book.publications()] == [NIGHT, *sorted(nights)]
        assert book.publications()[1] == again
        some = book.publications(since=NIGHT + timedelta(days=1), until=NIGHT + timedelta(days=2))
        assert [p.as_of for p in some] == sorted(nights)[1:3]
        assert book.publications(since=NIGHT + timedelta(days=4)) == []


def test_the_scores_of_a_publication_are_a_table_by_customer(url: str) -> None:
    first = published(url, {"b": 0.75, "ä": 1 / 3, "B": 0.5, "a": 0.25})
    published(url, {"b": 0.1}, version="2")
    with opened(url) as book:
        table = book.scores(first)
        assert table.dtypes.astype(str).tolist() == ["str", "float64", "int64"]
        assert table["customer_id"].tolist() == ["B", "a", "b", "ä"]  # alike on every database
        assert table["churn_probability"].tolist() == [0.5, 0.25, 0.75, 1 / 3]
        assert table["churn_prediction"].tolist() == [1, 0, 1, 0]
        empty = book.scores(published(url, {}, night=NEXT_NIGHT))
        assert empty.dtypes.equals(table.dtypes) and empty.empty


def test_a_customer_scored_twice_is_refused_and_nothing_is_written(url: str) -> None:
    published(url, {"a": 0.1})
    rows = held(url)
    with (
        opened(url) as book,
        pytest.raises(BadInput, match=r"1 customers would be scored twice as of 2026-03-01"),
    ):
        book.publish(NIGHT, "1", ["b", "b"], np.array([0.1, 0.2]), np.array([0, 0]), threshold=0.5)
    assert held(url) == rows


def test_lists_of_unequal_length_are_refused(url: str) -> None:
    with opened(url) as book, pytest.raises(ValueError, match="shorter"):
        book.publish(NIGHT, "1", ["a", "b"], np.array([0.1]), np.array([0]), threshold=0.5)
    assert latest_of(url) is None


def test_a_reader_sees_the_old_night_or_the_new_one_but_never_half(url: str) -> None:
    published(url, numbered(3000, 0.1))
    publishing, seen = threading.Event(), []

    def read() -> None:
        with opened(url) as book:
            publishing.set()
            while publishing.is_set():
                scores = book.top(10_000)
                seen.append((len(scores), frozenset(score.churn_probability for score in scores)))

    reader = threading.Thread(target=read)
    reader.start()
    assert publishing.wait(20)
    try:
        for number in range(1, 7):
            published(url, numbered(3000 - 500 * (number % 2), number / 10))
    finally:
        publishing.clear()
        reader.join(30)
    whole = {(3000 - 500 * (number % 2), frozenset({number / 10})) for number in range(1, 7)}
    assert set(seen) <= whole | {(3000, frozenset({0.1}))}
    assert len(set(seen)) > 1  # the reader did read while it changed


# --- Reasons ------------------------------------------------------------------------------------------------------

ONE, OTHER = because(recency=1 / 7, plan=-0.1), because(plan=-0.25)


def test_reasons_are_read_with_the_scores_exactly_as_they_were_published(url: str) -> None:
    published(url, {"a": 0.1, "b": 0.9, "c": 0.5}, reasons=[ONE, OTHER, ()])
    assert [(score.customer_id, score.reasons) for score in top_of(url)] == [("b", OTHER), ("c", ()), ("a", ONE)]


def test_five_reasons_are_kept_and_the_one_that_raises_the_score_most_is_named(url: str) -> None:
    many = because(a=-6.0, b=-5.0, c=-4.0, d=-3.0, e=-2.0, f=1.0, g=0.5)
    published(url, {"x": 0.1, "y": 0.2, "z": 0.3}, reasons=[many, OTHER, ()])
    assert explained(url) == {"x": ("f", ["a", "b", "c", "d", "e"]), "y": (None, ["plan"]), "z": (None, [])}
    assert KEPT_REASONS == 5


def test_the_same_scores_and_reasons_again_change_nothing(url: str) -> None:
    first = published(url, {"a": 0.1, "b": 0.9}, reasons=[ONE, OTHER])
    rows = top_of(url)
    assert published(url, {"b": 0.9, "a": 0.1}, reasons=[OTHER, ONE]) == first
    assert (latest_of(url), top_of(url)) == (first, rows)


@pytest.mark.parametrize("before", [None, [ONE, ONE], [ONE, ()]], ids=["none", "others", "fewer"])
def test_reasons_that_differ_are_brought_up_to_date_and_the_time_of_publication_stays(
    url: str, before: list[tuple[Reason, ...]] | None
) -> None:
    first = published(url, {"a": 0.1, "b": 0.9}, reasons=before)
    rows = held(url)
    assert published(url, {"a": 0.1, "b": 0.9}, reasons=[ONE, OTHER]) == first
    assert (latest_of(url), held(url)) == (first, rows)
    assert [score.reasons for score in top_of(url)] == [OTHER, ONE]


def test_the_same_scores_without_reasons_keep_those_that_are_there_and_other_scores_do_not(url: str) -> None:
    published(url, {"a": 0.1}, reasons=[ONE])
    published(url, {"a": 0.1})
    assert top_of(url)[0].reasons == ONE
    published(url, {"a": 0.2})
    assert top_of(url)[0].reasons == ()
    assert explained(url) == {}


def test_reasons_of_other_nights_and_versions_are_left_alone(url: str) -> None:
    for night, version in ((NIGHT, "1"), (NIGHT, "2"), (NEXT_NIGHT, "2")):
        published(url, {"a": 0.1}, night=night, version=version, reasons=[ONE])
    published(url, {"a": 0.1}, night=NIGHT, version="2", reasons=[OTHER])
    published(url, {"a": 0.3}, night=NEXT_NIGHT, version="2")
    with connected(url) as db:
        found = db.execute(sa.select(REASONS.c.as_of, REASONS.c.model_version, REASONS.c.raised_by)).all()
    assert sorted(map(tuple, found)) == [(NIGHT, "1", "recency"), (NIGHT, "2", None)]


def test_scores_and_their_reasons_are_published_together_or_not_at_all(url: str) -> None:
    published(url, {"a": 0.1}, reasons=[ONE])
    unheard_of = Reason("plan", 1.0, 1.0, 1.0, object())  # type: ignore[arg-type]
    with pytest.raises((sa.exc.StatementError, TypeError), match="not JSON serializable"):
        published(url, {"a": 0.9}, reasons=[(unheard_of,)])
    assert [(score.churn_probability, score.reasons) for score in top_of(url)] == [(0.1, ONE)]


def test_a_shadow_with_reasons_and_reasons_of_another_number_of_customers_are_refused(url: str) -> None:
    with pytest.raises(BadInput, match="carry no reasons"):
        published(url, {"a": 0.1}, reasons=[ONE], shadow=True)
    with pytest.raises(ValueError, match="shorter"):
        published(url, {"a": 0.1, "b": 0.2}, reasons=[ONE])
    assert (latest_of(url), explained(url)) == (None, {})


def test_a_database_of_before_gets_the_table_of_reasons_and_the_index_by_customer(url: str) -> None:
    first = published(url, {"a": 0.1})
    with connected(url) as db:
        db.execute(sa.text("drop table reasons"))
        db.execute(sa.text("drop index scores_by_customer"))
        db.commit()
    assert (top_of(url)[0].reasons, latest_of(url)) == ((), first)
    assert published(url, {"a": 0.1}, reasons=[ONE]) == first
    assert top_of(url)[0].reasons == ONE
    with connected(url) as db:
        assert "scores_by_customer" in {index["name"] for index in sa.inspect(db).get_indexes("scores")}


# --- What is asked ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["10%", "b_2", "B/3", "x"]),
        ({"minimum": 0.5}, ["10%", "b_2"]),
        ({"decision": 0}, ["B/3", "x"]),
        ({"raised_by": "recency"}, ["10%", "x"]),
        ({"raised_by": "plan"}, []),
        ({"search": "b"}, ["b_2", "B/3"]),
        ({"search": "%"}, ["10%"]),
        ({"search": "_"}, ["b_2"]),
        ({"search": "/"}, ["B/3"]),
        ({"search": "'; drop table scores; --"}, []),
        ({"search": "\0"}, []),
        ({"search": None, "minimum": None, "raised_by": "recency", "decision": 1}, ["10%"]),
    ],
)
def test_filters_say_who_is_wanted(url: str, filters: Any, found: list[str]) -> None:
    scores = {"10%": 0.9, "b_2": 0.5, "B/3": 0.4, "x": 0.1}
    published(url, scores, version="1", reasons=[OTHER] * 4)
    latest = published(url, scores, version="2", reasons=[ONE, OTHER, (), ONE])
    with opened(url) as book:
        assert [score.customer_id for score in book.top(10, latest, **filters)] == found
        assert [score.customer_id for page in book.pages(latest, **filters) for score in page] == found
        assert [score.customer_id for score in book.top(1, latest, **filters)] == found[:1]
        assert book.matching(latest, **filters) == len(found)


@pytest.mark.parametrize("limit", [None, 0, 1, 1000, 1001, 2000, 5000])
def test_pages_have_everybody_once_in_the_order_of_the_list(url: str, limit: int | None) -> None:
    latest = published(url, {f"c{n:05}": (n % 3) / 10 for n in range(2000)})
    with opened(url) as book:
        pages = list(book.pages(latest, limit))
        assert [score for page in pages for score in page] == book.top(10_000 if limit is None else limit, latest)
        assert max(map(len, pages)) <= 1000


def test_a_night_published_anew_between_two_pages_ends_the_reading(url: str) -> None:
    latest = published(url, numbered(1500, 0.25))
    with opened(url) as book:
        pages = book.pages(latest)
        assert len(next(pages)) == 1000
        published(url, numbered(1500, 0.5))
        with pytest.raises(NotReady, match="published anew"):
            next(pages)


def test_a_customer_has_the_score_of_the_newest_night_that_knows_it(url: str) -> None:
    published(url, {"a": 0.1, "b": 0.2}, version="1", reasons=[ONE, ONE])
    old = published(url, {"a": 0.3, "b": 0.4}, version="2", reasons=[OTHER, OTHER])
    new = published(url, {"a": 0.5}, night=NEXT_NIGHT, version="1")
    published(url, {"b": 0.9}, night=NEXT_NIGHT, version="3", shadow=True)
    with opened(url) as book:
        assert book.customer("a") == (new, Score(NEXT_NIGHT, "a", "1", 0.5, 1))
        assert book.customer("b") == (old, Score(NIGHT, "b", "2", 0.4, 0, OTHER))
        assert [book.customer(name) for name in ("c", "", "A", "%", "a\0")] == [None] * 5


def test_the_profile_is_every_probability_of_a_publication(url: str) -> None:
    first = published(url, {"a": 0.75, "b": 1 / 3, "c": 0.5})
    published(url, {"a": 0.1}, version="2")
    with opened(url) as book:
        assert book.profile(first).tolist() == [1 / 3, 0.5, 0.75]
        assert book.profile(published(url, {}, night=NEXT_NIGHT)).shape == (0,)


def test_no_question_of_the_api_reads_more_than_a_night_however_many_there_are(tmp_path: Path) -> None:
    """SQLite says how it would answer: each table by an index, none from end to end."""
    url, asked = f"sqlite:///{tmp_path / 'scores.db'}", []
    latest = published(url, {"a": 0.1}, reasons=[ONE])

    def note(db: sa.Connection, _: Any, statement: str, parameters: Any, *__: Any) -> None:
        if statement.startswith("SELECT") and db.engine.url.database == sa.make_url(url).database:
            asked.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        with opened(url) as book:
            everything: Any = {"minimum": 0.05, "decision": 0, "raised_by": "recency", "search": "a"}
            assert book.top(5, latest, **everything) == book.top(5)
            assert [*book.pages(latest)] == [*book.pages(latest, **everything)]
            assert (book.matching(latest), book.matching(latest, **everything)) == (1, 1)
            assert book.customer("a") is not None and len(book.profile(latest)) == 1
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    with connected(url) as db:
        plans = [str(row[3]) for ask in asked for row in db.exec_driver_sql(f"explain query plan {ask[0]}", ask[1])]
    assert any(plan.startswith("SEARCH scores") for plan in plans)
    scans = {plan for plan in plans if plan.startswith("SCAN")}
    # The newest publication: the first one of an index that is read backwards.
    assert scans == {"SCAN publications USING INDEX sqlite_autoindex_publications_1"}


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_postgres_has_figures_of_a_night_as_soon_as_it_is_published(url: str) -> None:
    """Without them it joins the reasons to the list in seconds, not milliseconds, until its autovacuum comes round."""
    published(url, numbered(300, 0.25))
    published(url, numbered(300, 0.25), reasons=[ONE] * 300)
    with connected(url) as db:
        known = db.execute(sa.text("select relname, reltuples from pg_class where relname in ('scores', 'reasons')"))
        assert {tuple(row) for row in known} == {("scores", 300), ("reasons", 300)}


# --- Processes ----------------------------------------------------------------------------------------------------

_PUBLISH = """
import sys, time
from datetime import date
import numpy as np
from churn.io.scorebook import ScoreBook
url, count, probability, version, at = sys.argv[1:]
n = int(count)
book, ids = ScoreBook(url), [f"c{i:06}" for i in range(n)]
print("ready", flush=True)
while time.time() < float(at):
    pass
book.publish(date(2026, 3, 1), version, ids, np.full(n, float(probability)), np.zeros(n, np.int64), threshold=0.5)
print("done", flush=True)
"""


def publisher(url: str, count: int, probability: float, *, version: str = "1", at: float = 0) -> subprocess.Popen[str]:
    """Another process that publishes when the clock says ``at``."""
    arguments = [url, str(count), str(probability), version, str(at)]
    return subprocess.Popen(
        [sys.executable, "-c", _PUBLISH, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.01)


@pytest.mark.slow
def test_a_killed_publication_leaves_the_old_night_and_the_next_one_goes_through(url: str) -> None:
    old = published(url, numbered(50, 0.25))
    sqlite = url.startswith("sqlite")
    with connected(url) as lock, connected(url) as watch:
        if not sqlite:  # holds the publisher up just before its last statement
            lock.execute(sa.text("lock table publications in share mode"))
        process = publisher(url, 400_000 if sqlite else 2_000, 0.75)
        written = Path(f"{sa.make_url(url).database}-wal")
        blocked = sa.text("select count(*) from pg_locks where not granted")
        eventually(
            (lambda: written.exists() and written.stat().st_size > 5_000_000)
            if sqlite
            else (lambda: watch.execute(blocked).scalar_one() > 0)
        )
        process.send_signal(signal.SIGKILL)
        assert "done" not in process.communicate(timeout=30)[0]
        assert process.returncode == -signal.SIGKILL
        assert latest_of(url) == old
        assert len(held(url)) == 50
    assert published(url, numbered(60, 0.5)).customers == 60
    assert {row[3] for row in held(url)} == {0.5}


def while_another_writes(url: str, write: Callable[[sa.Connection], Any]) -> str | None:
    """Publish while another connection has written and not committed. Returns the name of the error, if any."""
    failures: list[str] = []

    def publish() -> None:
        try:
            published(url, {"a": 0.5})
        except Exception as error:
            # Its name only: the error would keep the connections of its traceback open.
            failures.append(type(error).__name__)

    engine, sqlite = sa.create_engine(ScoreBook(url).url), url.startswith("sqlite")
    thread = threading.Thread(target=publish)
    with engine.connect() as db:
        if sqlite:
            db.exec_driver_sql("pragma journal_mode=wal")
            db.exec_driver_sql("begin immediate")
        write(db)
        thread.start()
        blocked = sa.text("select count(*) from pg_locks where not granted")
        end = time.monotonic() + (1 if sqlite else 5)
        while time.monotonic() < end and (sqlite or not db.execute(blocked).scalar_one()):
            time.sleep(0.02)
        db.commit()
    thread.join(40)
    engine.dispose()
    gc.collect()
    return failures[0] if failures else None


def test_tables_that_another_process_makes_at_this_moment_are_no_failure(url: str) -> None:
    assert while_another_writes(url, SCORES.metadata.create_all) is None
    assert [row[1] for row in held(url)] == ["a"]


def test_a_night_that_another_process_publishes_at_this_moment_is_replaced_or_the_book_is_busy(url: str) -> None:
    held(url)  # makes the tables
    row = {"as_of": NIGHT, "customer_id": "a", "model_version": "1", "churn_probability": 0.9, "churn_prediction": 1}
    failure = while_another_writes(url, lambda db: db.execute(sa.insert(SCORES), [row]))
    assert failure in (None, "Unavailable")
    assert [row[3] for row in held(url)] in ([0.5], [0.9])


@pytest.mark.slow
def test_processes_that_publish_the_same_night_at_once_leave_one_of_them_whole(url: str) -> None:
    published(url, {})
    at = time.time() + 6  # all have imported by then
    processes = [publisher(url, 3000, 0.25 * number, at=at) for number in range(1, 4)]
    for process in processes:
        process.communicate(timeout=120)
    assert 0 in {process.returncode for process in processes}
    rows, latest = held(url), latest_of(url)
    assert (len(rows), len({row[3] for row in rows})) == (3000, 1)
    assert latest is not None and latest.mean_probability == pytest.approx(rows[0][3])


@pytest.mark.parametrize("port", ["closed", pytest.param("silent", marks=pytest.mark.slow)])
def test_a_database_that_is_away_is_unavailable_and_no_password_is_told(port: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        number = listener.getsockname()[1]
        if port == "silent":  # accepts and never answers
            listener.listen()
        url = f"postgresql://churn:geheim@127.0.0.1:{number}/churn?connect_timeout=2"
        with pytest.raises(Unavailable, match=f"the score book at .*127.0.0.1:{number}") as error:
            ScoreBook(url).publish(NIGHT, "1", ["a"], np.array([0.5]), np.array([1]), threshold=0.5)
        assert "geheim" not in str(error.value)


def test_a_book_goes_on_after_the_database_came_back(postgres: str) -> None:
    others = "pid <> pg_backend_pid() and usename = 'churn'"
    with opened(postgres) as book, connected(postgres) as db:
        book.publish(NIGHT, "1", ["a"], np.array([0.5]), np.array([1]), threshold=0.5)
        # As a restart does: every connection of the pool is ended.
        ended = db.execute(sa.text(f"select pg_terminate_backend(pid) from pg_stat_activity where {others}"))
        assert ended.all()
        assert len(book.top(5)) == 1


def test_a_folder_where_the_sqlite_file_should_be_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="unable to open database file"):
        ScoreBook(f"sqlite:///{tmp_path}").latest()


def test_the_folder_of_a_sqlite_file_is_made(tmp_path: Path) -> None:
    assert ScoreBook(f"sqlite:///{tmp_path / 'deep' / 'down' / 'scores.db'}").latest() is None


def test_the_short_form_of_a_postgres_address_works(postgres: str) -> None:
    latest_of(postgres.replace("postgresql://", "postgres://"))


@pytest.mark.parametrize("address", ["nonsense", "oracle+nope://u:geheim@h/d", "sqlite:////dev/null/scores.db"])
def test_an_address_that_cannot_be_used_is_an_error_of_ours(address: str) -> None:
    with pytest.raises((BadInput, Unavailable)):
        ScoreBook(address).latest()
