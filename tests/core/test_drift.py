"""Drift: silent where nothing changed, heard where something did, and never taken in by the calendar."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, ks_2samp

from churn.core.categories import compare_categories
from churn.core.distances import js_distance, missing_p_values, psi
from churn.core.drift import DriftPolicy, DriftReference, DriftReport, FeatureDrift, compare
from churn.core.drift_words import summary_of
from churn.errors import BadInput


def a_table(rng: np.random.Generator, rows: int, *, columns: int = 12) -> pd.DataFrame:
    """Skewed, counted, rounded and normal columns, one with missing values, one of text."""
    made = [
        lambda: rng.gamma(0.7, 10, rows),
        lambda: rng.poisson(1.5, rows).astype(float),
        lambda: (rng.random(rows) < 0.3).astype(float),
        lambda: rng.lognormal(0, 1.5, rows).round(1),
    ]
    table = pd.DataFrame({f"c{i}": made[i % 4]() for i in range(columns)})
    table["normal"] = rng.normal(size=rows)
    table["holed"] = np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows))
    table["state"] = rng.choice(["CA", "NY", "TX", "WA", "OR"], rows, p=[0.4, 0.3, 0.2, 0.08, 0.02])
    return table


def of(report: DriftReport, name: str) -> FeatureDrift:
    return next(f for f in report.features if f.name == name)


def test_kolmogorov_smirnov_is_scipys_with_ties_and_different_sizes() -> None:
    rng = np.random.default_rng(1)
    before, now = a_table(rng, 700), a_table(rng, 450)
    now["c0"] *= 1.3
    report = compare(before, now)
    for f in report.features[:-1]:
        expected = ks_2samp(before[f.name].dropna(), now[f.name].dropna(), method="asymp")
        assert f.ks == pytest.approx(expected.statistic, abs=1e-12)
        assert f.p_value == pytest.approx(expected.pvalue, abs=1e-9)


def test_psi_and_jensen_shannon_of_few_values_follow_their_formulas_with_empty_bins() -> None:
    before = pd.DataFrame({"x": [0.0] * 5 + [1.0] * 3 + [2.0] * 2})
    now = pd.DataFrame({"x": [0.0] * 4 + [1.0] * 4 + [3.0] * 2})  # 2 has gone, 3 is new
    p, q = np.array([0.5, 0.3, 0.2, 1e-4]), np.array([0.4, 0.4, 1e-4, 0.2])
    found = of(compare(before, now), "x")
    assert found.psi == pytest.approx(np.sum((p - q) * np.log(p / q)))
    whole_p, whole_q = np.array([0.5, 0.3, 0.2, 0]), np.array([0.4, 0.4, 0, 0.2])
    m = (whole_p + whole_q) / 2
    terms = [x * np.log2(x / y) for side in (whole_p, whole_q) for x, y in zip(side, m) if x > 0]
    assert found.js == pytest.approx(np.sqrt(sum(terms) / 2))


def test_bins_of_many_values_are_fixed_by_the_reference_and_hold_a_mass_at_zero_apart() -> None:
    rng = np.random.default_rng(2)
    x = np.where(rng.random(1000) < 0.55, 0.0, rng.gamma(2, 5, 1000))
    column = DriftReference.of(pd.DataFrame({"x": x})).columns["x"]
    counts, _ = column.counts(np.sort(x))  # type: ignore[union-attr]
    assert counts[0] == np.sum(x == 0)
    assert counts.sum() == 1000
    assert counts[1:].min() >= 50
    _, far = column.counts(np.array([-5.0, 1e9]))  # type: ignore[union-attr]
    assert (far[0], far[-1], far.sum()) == (1, 1, 2)


def test_where_nothing_changed_hardly_ever_anything_rings() -> None:
    rng, rings, pairs = np.random.default_rng(3), 0, 300
    for _ in range(pairs):
        rings += compare(a_table(rng, 400, columns=8), a_table(rng, 300, columns=8)).drifted
    assert rings <= 6  # 1 % is promised; 7 or more of 300 would happen once in thirty times at exactly 1 %


def test_without_the_correction_and_the_floor_it_would_ring_all_the_time() -> None:
    rng, rings = np.random.default_rng(4), 0
    for _ in range(40):
        report = compare(a_table(rng, 400), a_table(rng, 300))
        rings += any(f.p_value is not None and f.p_value < 0.05 for f in report.features)
    assert rings >= 10


def test_a_shift_of_a_normal_feature_by_a_third_of_its_deviation_is_found_and_nothing_else_is() -> None:
    rng, found, others = np.random.default_rng(5), 0, 0
    for _ in range(60):
        before, now = a_table(rng, 1_450, columns=40), a_table(rng, 1_450, columns=40)
        now["normal"] += 0.3
        drifted = {f.name for f in compare(before, now).drifted_features}
        found += "normal" in drifted
        others += bool(drifted - {"normal"})
    assert found >= 57
    assert others <= 3


def test_a_difference_that_is_certain_and_small_is_no_drift() -> None:
    rng = np.random.default_rng(6)
    before, now = (pd.DataFrame({"x": rng.normal(shift, size=40_000)}) for shift in (0, 0.1))
    found = of(compare(before, now), "x")
    assert found.q_value is not None
    assert found.q_value < 1e-9
    assert not found.drifted
    assert of(compare(before, now, policy=DriftPolicy(smallest_ks=0.02)), "x").drifted


def test_values_that_begin_to_be_missing_are_found_though_the_others_are_as_before() -> None:
    rng = np.random.default_rng(7)
    before, now = a_table(rng, 1_450), a_table(rng, 1_450)
    now.loc[rng.random(1_450) < 0.1, "c0"] = np.nan
    found = of(compare(before, now), "c0")
    assert found.drifted
    assert found.why.startswith("missing 0.0% → ")
    assert not of(compare(before, now), "holed").drifted


def test_missing_shares_are_compared_two_sided() -> None:
    few, many = missing_p_values([0, 100], 1_000, [100, 0], 1_000)
    assert few == many < 1e-20
    assert missing_p_values([0], 1_000, [0], 1_000)[0] == 1
    assert missing_p_values([1], 1_000, [0], 1_000)[0] == 1


def test_a_new_category_is_found_by_name_and_a_rare_one_by_chance_is_not() -> None:
    rng = np.random.default_rng(8)
    before, now = a_table(rng, 1_450), a_table(rng, 1_450)
    now.loc[:1, "state"] = "NV"  # two rows: chance
    assert not of(compare(before, now), "state").drifted
    now.loc[:19, "state"] = "NV"
    found = of(compare(before, now), "state")
    assert found.drifted
    assert found.why == "new: 'NV'"
    assert found.new_categories == ("NV",)


def test_categories_that_trade_places_have_drifted() -> None:
    rng = np.random.default_rng(9)
    before, now = a_table(rng, 1_450), a_table(rng, 1_450)
    now["state"] = now["state"].replace({"CA": "TX", "TX": "CA"})
    assert "have moved" in of(compare(before, now), "state").why


def test_tenure_is_compared_for_those_who_were_there_less_the_days_that_have_passed() -> None:
    rng = np.random.default_rng(10)
    tenure = rng.uniform(0, 200, 1_500)
    before = pd.DataFrame({"days_since_registration": tenure})
    newcomers = rng.uniform(0, 60, 300)
    later = pd.DataFrame({"days_since_registration": np.concatenate([tenure[:1_300] + 60, newcomers])})
    assert compare(before, later).drifted
    found = of(compare(before, later, elapsed_days=60), "days_since_registration")
    assert not found.drifted
    assert found.mean_current == pytest.approx(tenure[:1_300].mean())
    wrong = later - 25  # registration dates that have shifted are no calendar
    assert compare(before, wrong, elapsed_days=60).drifted


def test_probabilities_are_one_more_column() -> None:
    rng = np.random.default_rng(11)
    before, now = (pd.DataFrame({"churn_probability": rng.beta(a, 30, 1_000)}) for a in (1.5, 2.5))
    assert of(compare(before, now), "churn_probability").drifted


def test_infinite_constant_and_empty_columns_are_compared_as_far_as_they_go() -> None:
    rows = 500
    before = pd.DataFrame({"inf": np.zeros(rows), "same": np.full(rows, 3.0), "gone": np.arange(rows, dtype=float)})
    before["never"] = np.nan
    before["flag"] = np.arange(rows) % 2 == 0
    now = before.assign(inf=np.where(np.arange(rows) < 100, np.inf, 0.0), gone=np.nan)
    report = compare(before, now)
    assert of(report, "inf").why == "missing 0.0% → 20.0%"
    assert (of(report, "same").ks, of(report, "same").psi, of(report, "same").js) == (0, 0, 0)
    assert of(report, "gone").why == "missing 0.0% → 100.0%"
    assert of(report, "gone").ks is None
    assert not of(report, "never").drifted
    assert not of(report, "flag").drifted
    assert {f.name for f in report.drifted_features} == {"inf", "gone"}


def test_the_order_of_the_rows_and_of_other_columns_changes_nothing() -> None:
    rng = np.random.default_rng(12)
    before, now = a_table(rng, 400), a_table(rng, 400)
    once = compare(DriftReference.of(before), now)
    shuffled = compare(before.sample(frac=1, random_state=1), now.sample(frac=1, random_state=2)[now.columns[::-1]])
    assert once == shuffled
    more = compare(before, now.assign(extra=1.0))
    assert (more.features, more.ignored) == (once.features, ("extra",))


def test_q_values_are_benjamini_and_hochbergs_over_every_test() -> None:
    rng = np.random.default_rng(13)
    report = compare(a_table(rng, 400), a_table(rng, 400))
    holed = of(report, "holed")
    tests = [f.p_value for f in report.features]
    missing = missing_p_values([holed.missing_reference * 400], 400, [holed.missing_current * 400], 400)
    expected = false_discovery_control([*tests, *missing])
    assert [f.q_value for f in report.features] == pytest.approx(expected[:-1])
    assert holed.missing_q_value == pytest.approx(expected[-1])


def test_what_cannot_be_compared_is_said() -> None:
    table = pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 2.0]})
    with pytest.raises(BadInput, match=r"lacks the columns \['b'\]"):
        compare(table, table[["a"]])
    with pytest.raises(BadInput, match="no rows"):
        compare(table, table.head(0))
    with pytest.raises(BadInput, match="nothing in it"):
        compare(table.head(0), table)
    with pytest.raises(BadInput, match="a was numeric in the reference"):
        compare(table, table.assign(a=["x", "y"]))
    with pytest.raises(BadInput, match="must not be older"):
        compare(table, table, elapsed_days=-1)
    with pytest.raises(BadInput, match="customer_id has 100 different values"):
        DriftReference.of(pd.DataFrame({"customer_id": [f"c{i}" for i in range(100)]}))
    with pytest.raises(BadInput, match="leave it out"):
        DriftReference.of(pd.DataFrame({"when": pd.to_datetime(["2026-01-01", "2026-01-02"])}))
    with pytest.raises(BadInput, match="more than once"):
        DriftReference.of(pd.DataFrame([[1.0, 2.0]], columns=["a", "a"]))


KINDS = {"play": 80_000, "like": 5_000, "dislike": 1_200, "help": 600, "cancel": 60}


def test_a_renamed_page_is_found_in_one_day_and_named() -> None:
    today = {"play": 25_000, "like": 1_600, "help": 190, "cancel": 0, "page 'Dislike'": 370}
    found = compare_categories(KINDS, today)
    assert found.drifted
    assert found.why == (
        "page 'Dislike' is new: 370 of 27,160 events; dislike has vanished: 1.4% of the events before, none now"
    )


def test_of_many_new_kinds_the_first_are_named_and_the_others_counted() -> None:
    found = compare_categories(KINDS, {**KINDS, **{f"page '{i}'": 100 for i in range(9)}})
    assert len(found.new) == 9
    assert found.why.count(" is new") == 5
    assert found.why.endswith("; and 4 more")


def test_a_slip_a_quiet_day_and_a_rare_kind_are_no_drift() -> None:
    assert not compare_categories(KINDS, {**KINDS, "page 'Hlep'": 9}).drifted  # a handful
    assert not compare_categories(KINDS, {**KINDS, "page 'Hlep'": 15}).drifted  # less than one in five thousand
    assert not compare_categories(KINDS, {"play": 800, "like": 60, "dislike": 10}).drifted  # no help, of 6 expected
    assert not compare_categories(KINDS, {k: v for k, v in KINDS.items() if k != "cancel"}).drifted
    assert not compare_categories(KINDS, {}).drifted
    quiet = compare_categories(KINDS, {"play": 60, "like": 9, "dislike": 3})
    assert quiet.js > DriftPolicy().smallest_event_js  # of so few events, chance
    assert not quiet.drifted
    assert quiet.limit > quiet.js
    assert compare_categories(KINDS, KINDS).limit == DriftPolicy().smallest_event_js
    with pytest.raises(BadInput, match="no events"):
        compare_categories({}, KINDS)


def test_kinds_that_shift_far_are_drift_without_any_new_name() -> None:
    found = compare_categories(KINDS, {**KINDS, "like": 20_000})
    assert found.drifted
    assert "have moved" in found.why
    assert found.js == pytest.approx(
        js_distance(*np.array([[s.reference_share, s.current_share] for s in found.shares]).T)
    )


def test_a_share_of_nothing_counts_as_a_very_small_one() -> None:
    assert psi(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(
        0.5 * np.log(2) + (0.5 - 1e-4) * np.log(0.5 / 1e-4)
    )
    rare = np.array([0.99995, 0.00005])
    assert psi(rare, np.array([1.0, 0.0])) == pytest.approx(
        0.00005 * np.log(0.99995) + 5e-5 * np.log(5e-5 / 1e-4), abs=1e-3
    )


def test_the_summary_says_what_moved_or_how_near_it_came() -> None:
    rng = np.random.default_rng(14)
    before, now = a_table(rng, 1_450), a_table(rng, 1_450)
    said = {"since": "2026-03-01", "day": "2026-03-20"}
    kinds = compare_categories(KINDS, KINDS)
    quiet = summary_of(compare(before, now), kinds, DriftPolicy(), **said)
    assert quiet.startswith("no drift: none of 15 columns differs from 2026-03-01")
    assert "farthest is" in quiet
    now["normal"] += 0.5
    loud = summary_of(compare(before, now), kinds, DriftPolicy(), **said)
    assert loud.startswith("drift: 1 of 15 columns moved since 2026-03-01: normal (KS 0.")
    assert "no events on 2026-03-20" in summary_of(compare(before, now), None, DriftPolicy(), **said)
