"""Early warnings: rare where nothing changes, in time where something does, and thresholds that are what they say."""

from datetime import date, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from churn.core.early_warning import (
    EVERYBODY,
    WatchPolicy,
    average_run_length,
    next_day,
    threshold,
    watch,
    weekday_factors,
)
from churn.core.monitoring_words import warning_words
from churn.errors import BadInput

Floats = NDArray[np.float64]
SEGMENTS = (EVERYBODY, "free", "paid", "new", "young", "old", "very old")
PAID_TIMES = 1.8
"""A paying customer's hazard against a free one's, as in the simulated service."""


def service(
    rng: np.random.Generator, customers: int, nights: int, *, off: float = 0.1, paid_times: float = 1.0, since: int = 0
) -> tuple[Floats, Floats, dict[str, tuple[float, float]]]:
    """Counts of a service that loses 5 % in 14 days, and a hold-out of 14 days before.

    Half of the customers pay. The scores are ``off`` by a gamma-distributed factor altogether, and by one more in each
    plan and band of tenure. From night ``since`` on, the rate of who pays is ``paid_times`` higher.
    """
    plans = np.array([1, PAID_TIMES]) / (1 + PAID_TIMES)
    usual = customers * 0.05 / 14 * np.outer(plans, [0.1, 0.2, 0.4, 0.3])
    wrong = np.ones_like(usual)
    if off:
        k = off**-2
        wrong = rng.gamma(k, 1 / k) * rng.gamma(k, 1 / k, (2, 1)) * rng.gamma(k, 1 / k, (1, 4))
    rate = np.repeat(usual[None], nights, axis=0)
    rate[since:, 1] *= paid_times
    expected = _by_segment(np.repeat((usual * wrong)[None], nights, axis=0))
    holdout = _by_segment(rng.poisson(usual * 14)[None])[0]
    known = {name: (float(o), float(e * 14)) for name, o, e in zip(SEGMENTS, holdout, expected[0])}
    return _by_segment(rng.poisson(rate)), expected, known


def _by_segment(cells: NDArray[np.generic]) -> Floats:
    counts = cells.astype(np.float64)
    return np.concatenate([counts.sum(axis=(1, 2))[:, None], counts.sum(axis=2), counts.sum(axis=1)], axis=1)


def weeks_that_ring(customers: int, off: float, services: int = 60) -> float:
    rng = np.random.default_rng(7)
    rings = []
    for _ in range(services):
        observed, expected, known = service(rng, customers, 70, off=off)
        rings += watch(observed, expected, SEGMENTS, known=known).alarms.reshape(-1, 7).any(axis=1).tolist()
    return float(np.mean(rings))


def nights_to_alarm(customers: int, off: float, services: int = 100) -> Floats:
    """From the first night of a doubled hazard of who pays, 14 nights after the first; infinite where none rings."""
    rng = np.random.default_rng(8)
    found = []
    for _ in range(services):
        observed, expected, known = service(rng, customers, 42, off=off, paid_times=2, since=14)
        rings = np.flatnonzero(watch(observed, expected, SEGMENTS, known=known).alarms[14:])
        found.append(rings[0] + 1 if len(rings) else np.inf)
    return np.array(found)


@pytest.mark.parametrize("off", [0.0, 0.1])
def test_without_a_change_at_most_one_week_in_a_hundred_rings(off: float) -> None:
    assert weeks_that_ring(1_450, off) <= 0.01
    assert weeks_that_ring(3_000, off) <= 0.01


@pytest.mark.parametrize("off", [0.0, 0.1])
def test_a_doubled_hazard_of_who_pays_rings_within_fourteen_nights(off: float) -> None:
    assert (nights_to_alarm(1_450, off) <= 14).mean() >= 0.65
    large = nights_to_alarm(3_000, off)
    assert (large <= 14).mean() >= 0.95
    assert np.median(large) <= 8


def test_the_segment_and_the_direction_that_changed_are_told() -> None:
    observed, expected, known = service(np.random.default_rng(1), 6_000, 28, off=0, paid_times=2, since=14)
    ringing = watch(observed, expected, SEGMENTS, known=known).ringing
    assert ("paid", "more") in [(chart.segment, chart.side) for chart in ringing]
    assert not [chart for chart in ringing if chart.side == "fewer" or chart.segment == "free"]


def test_cancellations_that_no_longer_reach_the_log_ring_too() -> None:
    rng = np.random.default_rng(2)
    expected = np.full((30, 1), 8.0)
    observed = np.concatenate([rng.poisson(8, (16, 1)), np.zeros((14, 1))])
    found = watch(observed, expected)
    assert not found.alarms[:16].any()
    assert found.alarms[18:].all()
    assert [chart.side for chart in found.ringing] == ["fewer"]


@pytest.mark.parametrize("ratio", [1.8, 0.6])
@pytest.mark.parametrize("mu", [0.05, 0.7, 5.0, 50.0])
def test_the_markov_chain_s_run_length_is_that_of_simulated_charts(mu: float, ratio: float) -> None:
    limit = 2.5
    rng, runs = np.random.default_rng(3), 4_000
    statistic, length = np.zeros(runs), np.zeros(runs)
    running = np.ones(runs, dtype=bool)
    while running.any():
        counts = rng.poisson(mu, running.sum())
        statistic[running] = np.maximum(0, statistic[running] + counts * np.log(ratio) - (ratio - 1) * mu)
        length[running] += 1
        running &= statistic < limit
    error = length.std() / np.sqrt(runs)
    assert average_run_length(limit, mu, ratio) == pytest.approx(length.mean(), abs=4 * error + 0.03 * length.mean())


def test_a_threshold_has_the_run_length_that_it_was_asked_for() -> None:
    for mu in (0.05, 1.0, 20.0):
        limit = threshold(mu, 1.8, 5_000)
        assert average_run_length(limit, mu, 1.8) >= 5_000 > average_run_length(limit - 0.1, mu, 1.8)


def test_a_level_that_was_off_from_the_start_does_not_ring_for_ever() -> None:
    # The scores expect two thirds of what happens, on the hold-out too: nothing has changed.
    rng = np.random.default_rng(4)
    observed, expected = rng.poisson(9, (84, 1)), np.full((84, 1), 6.0)
    found = watch(observed, expected, known={EVERYBODY: (126.0, 84.0)})
    assert found.factor[0, 0] == pytest.approx(176 / 134)
    assert found.factor[-1, 0] == pytest.approx(1.5, abs=0.12)
    assert not found.alarms.any()


def test_what_is_observed_moves_the_expected_level_only_after_the_lag() -> None:
    expected = np.full((40, 1), 5.0)
    calm, wild = np.full((40, 1), 5.0), np.full((40, 1), 5.0)
    wild[20:] = 50
    lag = WatchPolicy().lag
    before, after = watch(calm, expected).factor, watch(wild, expected).factor
    assert np.array_equal(before[: 20 + lag], after[: 20 + lag])
    assert after[20 + lag, 0] > before[20 + lag, 0]


def test_later_nights_never_change_what_an_earlier_night_said() -> None:
    observed, expected, known = service(np.random.default_rng(5), 2_000, 40)
    whole = watch(observed, expected, SEGMENTS, known=known)
    part = watch(observed[:25], expected[:25], SEGMENTS, known=known)
    for early, late in zip(part.charts, whole.charts):
        assert np.array_equal(early.statistic, late.statistic[:25])
        assert np.array_equal(early.alarms, late.alarms[:25])


def test_a_single_odd_day_does_not_ring_and_two_do() -> None:
    expected = np.full((10, 1), 5.0)
    odd = np.full((10, 1), 5.0)
    odd[4] = 500
    assert not watch(odd, expected).alarms.any()
    odd[5] = 500
    assert watch(odd, expected).alarms[5]


def test_the_alarm_ends_soon_after_its_reason_does() -> None:
    observed, expected = np.full((25, 1), 5.0), np.full((25, 1), 5.0)
    observed[5:12] = 15
    alarms = watch(observed, expected).alarms
    assert alarms[8:12].all()
    assert not alarms[13:].any()


def test_a_segment_that_expects_next_to_nothing_is_not_watched_and_small_ones_are() -> None:
    expected = np.column_stack([np.full(30, 5.0), np.full(30, 0.005), np.full(30, 0.05)])
    observed = np.column_stack([np.full(30, 5.0), np.ones(30), np.ones(30)])
    charts = {(c.segment, c.side): c for c in watch(observed, expected, (EVERYBODY, "tiny", "small")).charts}
    assert np.isinf(charts["tiny", "more"].threshold).all()
    assert not charts["tiny", "more"].alarms.any()
    assert charts["small", "more"].alarms[-1]


def test_no_nights_and_wrong_counts() -> None:
    empty = watch(np.zeros((0, 1)), np.zeros((0, 1)))
    assert (len(empty.alarms), empty.ringing) == (0, ())
    for observed, expected in (([[1.0]], [[1.0, 2.0]]), ([[-1.0]], [[1.0]]), ([[1.0]], [[np.nan]]), ([1.0], [1.0])):
        with pytest.raises(BadInput):
            watch(observed, expected)


def test_next_day_s_probability_makes_up_the_horizon_s_again() -> None:
    p = np.array([0.0, 0.05, 0.6, 1.0])
    hazard = next_day(p, 14)
    assert 1 - (1 - hazard[:3]) ** 14 == pytest.approx(p[:3])
    assert 0.5 < hazard[3] <= 1


def test_weekdays_are_told_apart_where_enough_leave() -> None:
    days = list(range(7)) * 8
    few = weekday_factors(days, [1.0 if day < 5 else 0.5 for day in days])
    many = weekday_factors(days, [1000.0 if day < 5 else 500.0 for day in days])
    assert many[6] / many[0] == pytest.approx(0.5, abs=0.01)
    assert 0.9 < few[6] / few[0] < 1
    assert weekday_factors([], []) == pytest.approx(np.ones(7))


def test_words_tell_since_when_and_how_many() -> None:
    nights = [date(2026, 3, 1) + timedelta(days=n) for n in range(12)]
    observed, expected = np.full((12, 1), 4.0), np.full((12, 1), 5.0)
    observed[6:] = 15
    found = watch(observed, expected)
    (chart,) = found.ringing
    assert nights[chart.began] == date(2026, 3, 7)
    assert warning_words(found, nights, chart) == (
        "everybody: more cancel than the scores expected since about 2026-03-07: 90 against 30.0"
    )
