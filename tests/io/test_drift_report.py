"""The drift page: everything in one file, the verdict in words, equal input equal text."""

import re
from collections.abc import Mapping
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from jinja2 import UndefinedError

from churn.core.categories import compare_categories
from churn.core.drift import DriftPolicy, DriftReference, compare
from churn.io.drift_report import drift_page
from churn.io.page import figure, percent, render, whole

FACTS = {
    "as_of": "2026-03-20", "model_version": "3", "reference": "2026-03-01", "history_days": 56,
    "summary": "as the step says it",
}  # fmt: skip


def a_table(seed: int, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({f"c{i}": rng.gamma(2, 3, 600) for i in range(20)})
    table["few"] = rng.poisson(1, 600)
    table["<b>moved</b>"] = rng.normal(shift, size=600)
    table["empty"] = np.nan
    table["plan"] = rng.choice(["free", "paid"], 600)
    table["days_since_registration"] = rng.uniform(20, 300, 600)
    return table


def page(shift: float, nights: int = 1, today: Mapping[str, int] | None = None) -> str:
    before, now, policy = a_table(0), a_table(1, shift), DriftPolicy()
    found = compare(before, now, policy=policy, elapsed_days=19)
    kinds = compare_categories({"play": 1_000, "help": 200}, today or {"play": 1_000, "page 'Hlep'": 200})
    return drift_page(
        {**FACTS, "alarm": found.drifted, "nights": nights}, found, kinds, DriftReference.of(before), now,
        policy=policy, elapsed_days=19, enough=3,
    )  # fmt: skip


def test_an_alarm_names_what_moved_and_draws_it_first() -> None:
    text = page(0.8)
    assert "1 of 25 columns drifted, and so did the kinds of events" in text
    assert "page &#39;Hlep&#39; is new: 200 of 1,200 events" in text
    assert "<b>moved</b>" not in text  # names are data: escaped
    headings = re.findall(r"<h3>(.*?)</h3>", text)
    assert headings[0] == "&lt;b&gt;moved&lt;/b&gt;"
    assert len(headings) == 1 + 12
    assert "a retraining is asked for after 3." in text
    assert "it persists" in page(0.8, nights=3)


def test_the_distance_from_which_the_kinds_of_events_alarm_is_that_of_so_many_events() -> None:
    assert "(an alarm from 0.1)" in page(0.0)
    small = page(0.0, today={"play": 50, "help": 10})
    assert f"(an alarm from {figure(np.sqrt(10 / (8 * np.log(2) * 60)), 2)})" in small
    assert "(an alarm from 0.1)" not in small


def test_a_quiet_night_says_so() -> None:
    assert "<strong>No drift.</strong>" in page(0.0)


def test_the_page_needs_nothing_from_outside_and_its_drawings_are_whole() -> None:
    text = page(0.8)
    assert not re.search(r"(src|href)=.?(https?:)?//|@import|url\(", text)
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        shapes = ElementTree.fromstring(drawing)
        heights = [float(r.attrib["height"]) for r in shapes.iter("rect")]
        assert max(heights) <= 104.01
        assert min(heights) >= 0


def test_equal_input_gives_equal_text() -> None:
    assert page(0.8) == page(0.8)


def test_a_value_that_a_page_lacks_is_an_error_and_numbers_read_well() -> None:
    with pytest.raises(UndefinedError):
        render("drift.html", facts={})
    assert [figure(v) for v in (None, 0.0, 0.05678, 12.345, 98_065.4, 0.00001, float("nan"), 1234.0)] == [
        "–", "0", "0.0568", "12.3", "98,065", "1e-5", "–", "1,234",
    ]  # fmt: skip
    assert (percent(None), percent(0.1234), whole(1234.4)) == ("–", "12.3%", "1,234")
