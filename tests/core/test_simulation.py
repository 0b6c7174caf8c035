"""The simulated service: its risk is what it says, and its rows are what a real log would hold."""

from datetime import date
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.resemblance import (
    CHURNED,
    PANEL,
    compare,
    default_data,
    real_panel,
    seen_throughout,
    simulated_panel,
    summary,
)
from churn.core.events import DAY_MS
from churn.core.simulated_change import Change
from churn.core.simulated_customers import everyone
from churn.core.simulated_events import AUTHS, PAGES, Coded, Log, RawTable
from churn.core.simulated_risk import SHARE
from churn.core.simulated_sessions import CANCEL, HANGING, Day
from churn.core.simulation import Life, live

START = date(2026, 1, 1)
DAYS = 30


@cache
def lived(customers: int, days: int = DAYS, seed: int = 7) -> tuple[Life, list[Day]]:
    life, days_lived = live(customers, seed, START, days)
    return life, list(days_lived)


def leavers(day: Day) -> np.ndarray:
    return day.sessions.customer[day.sessions.outro == CANCEL]


def written(customers: int, days: int, seed: int = 7) -> list[dict[str, np.ndarray]]:
    """The rows of each day, decoded; null is None."""
    life, days_lived = live(customers, seed, START, days)
    log = Log(life)
    return [{name: decoded(table, name) for name in table} for table in map(log.day, days_lived)]


def decoded(table: RawTable, name: str) -> np.ndarray:
    column = table[name]
    if not isinstance(column, Coded):
        return column
    return np.array([*column.values, None], object)[column.codes]


def all_days(log: list[dict[str, np.ndarray]], name: str) -> np.ndarray:
    return np.concatenate([day[name] for day in log])


@pytest.fixture(scope="module")
def log() -> list[dict[str, np.ndarray]]:
    return written(300, DAYS)


def test_as_many_cancel_as_the_hazards_say() -> None:
    _, days = lived(6_000, 90)
    hazard = np.concatenate([day.hazard for day in days])
    cancelled = sum(len(leavers(day)) for day in days)
    assert abs(cancelled - hazard.sum()) < 4 * np.sqrt((hazard * (1 - hazard)).sum())


def test_as_many_cancel_in_each_tenth_of_the_hazards_as_they_say() -> None:
    _, days = lived(6_000, 90)
    hazard = np.concatenate([day.hazard for day in days])
    cancelled = np.concatenate([np.isin(day.at_risk, leavers(day)) for day in days])
    for part in np.array_split(np.argsort(hazard), 10):
        expected, spread = hazard[part].sum(), np.sqrt((hazard[part] * (1 - hazard[part])).sum())
        assert abs(cancelled[part].sum() - expected) < 4 * spread


def test_the_rate_is_a_plausible_one_and_stays_where_it_is() -> None:
    _, days = lived(6_000, 90)
    fortnight = [14 * np.concatenate([d.hazard for d in days[at : at + 30]]).mean() for at in (0, 30, 60)]
    assert all(0.043 < rate < 0.055 for rate in fortnight)  # 0.048: as the public table's 4.1 % in 12 days
    assert max(fortnight) < 1.1 * min(fortnight)
    assert len(days[-1].at_risk) == pytest.approx(len(days[0].at_risk), rel=0.1)


def test_hazards_differ_widely_with_a_tail_that_is_clearly_at_risk() -> None:
    _, days = lived(6_000, 90)
    low, middle, high = np.quantile(14 * days[-1].hazard, [0.1, 0.5, 0.99])
    assert high > 0.2
    assert middle < 0.04
    assert low < middle / 3


def test_the_hazard_ranks_those_who_leave_within_a_fortnight_first() -> None:
    _, days = lived(6_000, 90)
    first = days[30]
    left = np.isin(first.at_risk, np.concatenate([leavers(day) for day in days[30:44]]))
    rank = np.argsort(np.argsort(first.hazard)) + 1
    auc = (rank[left].sum() - left.sum() * (left.sum() + 1) / 2) / (left.sum() * (~left).sum())
    assert 0.70 < auc < 0.82  # 0.76 over many seeds


def test_what_can_be_seen_says_something_about_the_risk() -> None:
    """Counts per play, of those who have played enough to tell."""
    life, days = lived(6_000, 90)
    plays, pages = np.zeros(len(life.gone)), np.zeros((len(HANGING), len(life.gone)))
    for day in days:
        known = day.sessions.customer >= 0
        np.add.at(plays, day.sessions.customer[known], day.sessions.plays[known])
        np.add.at(pages.T, day.sessions.customer[known], day.sessions.pages[:, known].T)
    at_risk = days[-1].at_risk
    enough = plays[at_risk] > 200
    log_v = np.log(days[-1].hazard / life.who.visits[at_risk])[enough]
    for page, sign in {"Thumbs Up": -1, "Thumbs Down": 1, "Downgrade": 1}.items():
        rate = (pages[HANGING.index(page), at_risk] / np.maximum(plays[at_risk], 1))[enough]
        assert sign * np.corrcoef(rate, log_v)[0, 1] > 0.05, page


def test_the_temperaments_stay_as_frequent_as_they_are() -> None:
    life, days = lived(6_000, 90)
    for day in (days[0], days[-1]):
        share = np.bincount(life.who.temper[day.at_risk], minlength=4) / len(day.at_risk)
        assert np.abs(share - SHARE).max() < 0.025


@pytest.mark.slow
def test_simulated_customers_resemble_those_of_the_public_table() -> None:
    if not (default_data() / PANEL).is_file():
        pytest.skip(f"left out: no {PANEL} in CHURN_TEST_DATA or in shared/data beside the repository")
    real, simulated = real_panel(default_data()), seen_throughout(simulated_panel(6_000))
    rows = compare(real, simulated)
    found = summary(real, simulated, rows)
    assert max(row.ks for row in rows) < 0.20
    assert found.median_ks < 0.06
    assert found.spearman_difference < 0.10
    assert 0.025 < simulated[CHURNED].mean() < 0.055
    assert 0.65 < found.logistic_auc[1] < 0.82


def test_whoever_is_at_risk_has_registered_and_not_left() -> None:
    life, days = lived(500)
    gone: set[int] = set()
    for day in days:
        assert not gone & set(day.at_risk.tolist())
        assert (life.who.registered_ms[day.at_risk] < day.start_ms).all()
        assert ((day.hazard > 0) & (day.hazard < 1)).all()
        gone |= set(leavers(day).tolist())
    assert gone


def test_a_longer_life_begins_with_the_shorter_one_across_the_arrival_of_new_periods() -> None:
    _, short = lived(200, 89)
    _, long = lived(200, 200)
    for a, b in zip(short, long, strict=False):
        assert np.array_equal(a.at_risk, b.at_risk)
        assert np.array_equal(a.hazard, b.hazard)
        assert np.array_equal(a.sessions.pages, b.sessions.pages)


def test_another_seed_gives_another_life() -> None:
    assert not np.array_equal(lived(50, 5, seed=1)[1][4].hazard, lived(50, 5, seed=2)[1][4].hazard)


def test_exactly_the_given_number_of_customers_has_registered_by_day_90_and_more_come_later() -> None:
    who = everyone(100, 7, START, 180).registered_ms
    zero = (START - date(1970, 1, 1)).days * DAY_MS
    assert (who < zero).sum() == 75
    assert (who < zero + 90 * DAY_MS).sum() == 100
    assert (who < zero + 180 * DAY_MS).sum() == 125


def test_sessions_of_a_customer_do_not_overlap() -> None:
    _, days = lived(500)
    customer = np.concatenate([d.sessions.customer for d in days])
    start = np.concatenate([d.sessions.start_ms for d in days])
    end = np.concatenate([d.sessions.end_ms for d in days])
    order = np.lexsort((start, customer))
    customer, start, end = customer[order], start[order], end[order]
    same = (customer[1:] == customer[:-1]) & (customer[1:] >= 0)
    assert same.sum() > 1_000
    assert (start[1:][same] >= end[:-1][same]).all()


def test_a_day_holds_its_own_events_in_order_of_time(log: list[dict[str, np.ndarray]]) -> None:
    zero = (START - date(1970, 1, 1)).days * DAY_MS
    for index, day in enumerate(log):
        assert (np.diff(day["ts"]) >= 0).all()
        assert (day["ts"] // DAY_MS == zero // DAY_MS + index).all()


def test_items_count_up_from_0_inside_a_session_even_over_midnight(log: list[dict[str, np.ndarray]]) -> None:
    session, item, ts = (all_days(log[:-1], name) for name in ("sessionId", "itemInSession", "ts"))
    order = np.lexsort((item, session))
    session, item, ts = session[order], item[order], ts[order]
    first = np.concatenate([[True], session[1:] != session[:-1]])
    assert (item[first] == 0).all()
    assert (np.diff(item)[~first[1:]] == 1).all()
    assert (np.diff(ts)[~first[1:]] >= 0).all()
    over_midnight = (ts[1:] // DAY_MS != ts[:-1] // DAY_MS) & ~first[1:]
    assert over_midnight.any()


def test_nobody_does_anything_after_cancelling(log: list[dict[str, np.ndarray]]) -> None:
    user, page, ts, auth = (all_days(log, name) for name in ("userId", "page", "ts", "auth"))
    confirmed = page == "Cancellation Confirmation"
    assert confirmed.sum() >= 5
    assert (auth[confirmed] == "Cancelled").all()
    assert (confirmed == (auth == "Cancelled")).all()
    for who, when in zip(user[confirmed], ts[confirmed], strict=True):
        assert ts[user == who].max() == when
        assert page[(user == who) & (ts < when)][-1] == "Cancel"


def test_about_three_rows_in_a_hundred_are_logged_out_and_say_nothing_about_anybody(
    log: list[dict[str, np.ndarray]],
) -> None:
    out = all_days(log, "auth") == "Logged Out"
    assert 0.02 < out.mean() < 0.05
    assert (all_days(log, "userId")[out] == "").all()
    for personal in ("firstName", "lastName", "gender", "location", "userAgent", "registration"):
        values = all_days(log, personal)
        assert all(v is None for v in values[out])
        assert all(v is not None for v in values[~out])


def test_most_rows_are_plays_and_only_plays_have_a_track(log: list[dict[str, np.ndarray]]) -> None:
    plays = all_days(log, "page") == "NextSong"
    assert 0.75 < plays.mean() < 0.9
    for name in ("artist", "song", "length"):
        assert np.array_equal(np.array([v is not None for v in all_days(log, name)]), plays)
    assert 200 < np.mean(all_days(log, "length")[plays].astype(float)) < 300


def test_a_track_begins_when_the_one_before_it_ends(log: list[dict[str, np.ndarray]]) -> None:
    plays = all_days(log, "page") == "NextSong"
    session, ts, length = (all_days(log, name)[plays] for name in ("sessionId", "ts", "length"))
    order = np.lexsort((ts, session))
    session, ts, length = session[order], ts[order], length[order].astype(float)
    same = session[1:] == session[:-1]
    assert np.abs(np.diff(ts)[same] - 1000 * length[:-1][same]).max() <= 1


def test_customers_registered_before_their_first_event(log: list[dict[str, np.ndarray]]) -> None:
    known = all_days(log, "userId") != ""
    assert (all_days(log, "ts")[known] > all_days(log, "registration")[known].astype(float)).all()


def test_whoever_registers_during_the_log_signs_up_in_their_first_session(log: list[dict[str, np.ndarray]]) -> None:
    user, page, ts, registered = (all_days(log, name) for name in ("userId", "page", "ts", "registration"))
    signed_up = set(all_days(log, "sessionId")[page == "Submit Registration"])
    known = user != ""
    new = {u for u, r in zip(user[known], registered[known], strict=True) if r >= ts[0] // DAY_MS * DAY_MS}
    firsts = {all_days(log, "sessionId")[user == u][0] for u in new}
    assert new
    assert firsts == signed_up


def test_the_plan_changes_only_with_a_submission_and_in_its_direction(log: list[dict[str, np.ndarray]]) -> None:
    user, page, level, ts = (all_days(log, name) for name in ("userId", "page", "level", "ts"))
    item = all_days(log, "itemInSession")
    changes = {"Submit Upgrade": 0, "Submit Downgrade": 0}
    for who in set(user) - {""}:
        mine = np.flatnonzero(user == who)
        mine = mine[np.lexsort((item[mine], ts[mine]))]
        for before, after in pairwise(mine):
            if page[before] in changes:
                changes[page[before]] += 1
                assert (level[before], level[after]) in {("free", "paid"), ("paid", "free")}
                assert (page[before] == "Submit Upgrade") == (level[before] == "free")
            else:
                assert level[before] == level[after]
    assert min(changes.values()) > 5


def test_adverts_are_for_the_free_plan(log: list[dict[str, np.ndarray]]) -> None:
    advert, free = all_days(log, "page") == "Roll Advert", all_days(log, "level") == "free"
    assert advert[free].mean() > 10 * advert[~free].mean() > 0


def test_every_page_and_auth_shows_up_in_a_longer_log() -> None:
    log = written(400, 40)
    assert set(all_days(log, "page")) == set(PAGES)
    assert set(all_days(log, "auth")) == set(AUTHS)


def test_a_customer_has_one_name_one_place_and_one_registration(log: list[dict[str, np.ndarray]]) -> None:
    known = all_days(log, "userId") != ""
    of = {name: all_days(log, name)[known] for name in ("userId", "firstName", "lastName", "gender", "registration")}
    assert len(set(zip(*of.values(), strict=True))) == len(set(of["userId"])) > 150


def test_a_customer_plays_between_ten_and_twenty_five_songs_a_day_on_average() -> None:
    _, days = lived(2_000)
    plays = sum(int(d.sessions.plays.sum()) for d in days)
    assert 10 < plays / sum(len(d.at_risk) for d in days) < 25


PRICE_RISE = Change(12, hazard=2.0, plan="paid")


def test_a_change_moves_nothing_before_its_day_and_the_hazard_of_those_concerned_from_then_on() -> None:
    _, days = lived(2_000)
    changed, changed_days = live(2_000, 7, START, DAYS, PRICE_RISE)
    for day in days:
        paid = changed.paid.copy()
        after = next(changed_days)
        if day.index < PRICE_RISE.day:
            assert all(np.array_equal(column, getattr(after.sessions, name))
                       for name, column in vars(day.sessions).items())  # fmt: skip
            assert np.array_equal(day.hazard, after.hazard)
        else:  # 1 - exp(-lambda v): -log(1 - hazard) is proportional to v
            break
    pays = paid[after.at_risk]
    factor = np.log1p(-after.hazard) / np.log1p(-day.hazard)
    assert factor[pays] == pytest.approx(2.0)
    assert factor[~pays] == pytest.approx(1.0)
    assert 0.2 < pays.mean() < 0.8


def test_as_many_cancel_as_the_changed_hazards_say() -> None:
    _, days = live(6_000, 7, START, DAYS, PRICE_RISE)
    later = [day for day in days if day.index >= PRICE_RISE.day]
    hazard = np.concatenate([day.hazard for day in later])
    cancelled = sum(len(leavers(day)) for day in later)
    assert abs(cancelled - hazard.sum()) < 4 * np.sqrt((hazard * (1 - hazard)).sum())
    unchanged = np.concatenate([day.hazard for day in lived(6_000)[1] if day.index >= PRICE_RISE.day])
    assert hazard.mean() > 1.3 * unchanged.mean()


def test_a_page_is_called_otherwise_from_its_day_on_and_nothing_else_differs(
    log: list[dict[str, np.ndarray]],
) -> None:
    life, days = live(300, 7, START, DAYS, Change(12, renamed={"Thumbs Down": "Dislike"}))
    renamed = Log(life)
    for index, (before, day) in enumerate(zip(log, days, strict=True)):
        table = renamed.day(day)
        after = {name: decoded(table, name) for name in table}
        wanted = np.where((before["page"] == "Thumbs Down") & (index >= 12), "Dislike", before["page"])
        assert np.array_equal(after.pop("page"), wanted)
        assert all(np.array_equal(column, before[name]) for name, column in after.items())
