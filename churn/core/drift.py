"""Drift: is tonight's table drawn from the same distributions as the one the model was measured on?

Each column gives up to three tests: its distribution (Kolmogorov–Smirnov, or chi-squared where it is text), its share
of missing values, its new categories. Benjamini–Hochberg runs over all tests of a comparison at once; what passes it
has drifted only if the effect also reaches the floor of the policy. PSI and Jensen–Shannon are shown beside.

Benjamini & Hochberg (1995); under dependence as between these features, Benjamini & Yekutieli (2001), theorem 1.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from churn.core.arrays import Floats
from churn.core.distances import counts_p_value, js_distance, ks_p_values, ks_statistic, missing_p_values, psi
from churn.core.drift_policy import DriftPolicy
from churn.core.drift_reference import Categories, DriftReference, Numbers, read_categories, read_numbers
from churn.errors import BadInput

__all__ = ["DriftPolicy", "DriftReference", "DriftReport", "FeatureDrift", "comparable", "compare"]


@dataclass(frozen=True)
class FeatureDrift:
    """One column, then and now. Shares are between 0 and 1; what cannot be computed is None."""

    name: str
    drifted: bool
    why: str
    """A sentence, or nothing where it has not drifted."""
    ks: float | None
    """None where it is text, or a side has no value."""
    p_value: float | None
    """Of the distribution: Kolmogorov–Smirnov, or chi-squared where it is text."""
    q_value: float | None
    """The same, adjusted over every test of the comparison."""
    psi: float | None
    js: float | None
    """Jensen–Shannon distance, base 2."""
    missing_reference: float
    missing_current: float
    missing_q_value: float | None
    """None where nothing is missing on either side."""
    mean_reference: float | None
    mean_current: float | None
    """After what the calendar adds has been taken away."""
    new_categories: tuple[str, ...] = ()
    new_q_value: float | None = None


@dataclass(frozen=True)
class DriftReport:
    """Every column that was compared, in the order of the reference."""

    drifted: bool
    features: tuple[FeatureDrift, ...]
    rows_reference: int
    rows_current: int
    ignored: tuple[str, ...] = ()
    """Columns of the current table that the reference does not have."""

    @property
    def drifted_features(self) -> tuple[FeatureDrift, ...]:
        """What has drifted, the farthest first."""
        return tuple(sorted((f for f in self.features if f.drifted), key=lambda f: -(f.ks or f.js or 0)))


@dataclass
class _Column:
    """What is measured of one column before anything is decided. ``p`` is by test."""

    name: str
    missing: tuple[int, int]
    ks: float | None = None
    sizes: tuple[int, int] = (0, 0)
    psi: float | None = None
    js: float | None = None
    means: tuple[float | None, float | None] = (None, None)
    new: tuple[str, ...] = ()
    rows_now: int = 0
    p: dict[str, float] = field(default_factory=dict)


def compare(
    reference: DriftReference | pd.DataFrame,
    current: pd.DataFrame,
    *,
    policy: DriftPolicy | None = None,
    elapsed_days: float = 0.0,
) -> DriftReport:
    """Compare the columns of ``current`` with those of the reference, ``elapsed_days`` later.

    Columns of ``policy.ages`` have grown by ``elapsed_days`` by themselves: they are compared for the customers who
    were there at the reference, less these days. Columns that the reference does not have are ignored and named.
    Raises BadInput for an empty table, and naming columns that are missing, or text that was numeric.
    """
    policy = policy or DriftPolicy()
    known = reference if isinstance(reference, DriftReference) else DriftReference.of(reference)
    _check(known, current, elapsed_days)
    columns = [_measured(name, then, current[name], policy, elapsed_days) for name, then in known.columns.items()]
    _test(columns, known.rows)
    q = _adjusted(columns)
    features = tuple(_verdict(column, known.rows, q, policy) for column in columns)
    return DriftReport(
        drifted=any(f.drifted for f in features),
        features=features,
        rows_reference=known.rows,
        rows_current=len(current),
        ignored=tuple(str(name) for name in current.columns if name not in known.columns),
    )


def comparable(name: str, column: pd.Series, policy: DriftPolicy, elapsed_days: float) -> tuple[Floats, int]:
    """What of a numeric column is compared: its finite values, rising, less what the calendar added; and the missing.

    Of an age, the customers who were there at the reference (registered before it) ``elapsed_days`` ago.
    """
    now, missing = read_numbers(name, column)
    if name in policy.ages and elapsed_days > 0:
        now = now[np.searchsorted(now, elapsed_days, side="right") :] - elapsed_days
    return now, missing


def _check(known: DriftReference, current: pd.DataFrame, elapsed_days: float) -> None:
    if missing := [name for name in known.columns if name not in current.columns]:
        raise BadInput(f"the current table lacks the columns {missing} of the reference")
    if len(current) == 0:
        raise BadInput("the current table has no rows: there is nothing to compare")
    if not elapsed_days >= 0:
        raise BadInput(f"elapsed_days is {elapsed_days}: the current table must not be older than the reference")


def _measured(
    name: str, then: Numbers | Categories, column: pd.Series, policy: DriftPolicy, elapsed_days: float
) -> _Column:
    if isinstance(then, Categories):
        return _categories(name, then, read_categories(column), policy)
    now, missing = comparable(name, column, policy, elapsed_days)
    found = _Column(name, (then.missing, missing), sizes=(len(then.values), len(now)), rows_now=len(column))
    found.means = (_mean(then.values), _mean(now))
    if all(found.sizes):
        found.ks = ks_statistic(then.values, now)
        _compare_shares(found, *then.counts(now))
    return found


def _categories(name: str, then: Categories, now: Categories, policy: DriftPolicy) -> _Column:
    names = sorted({*then.counts, *now.counts})
    before, found = (np.array([c.counts.get(n, 0) for n in names], dtype=np.int64) for c in (then, now))
    column = _Column(name, (then.missing, now.missing), sizes=(int(before.sum()), int(found.sum())))
    column.rows_now = column.sizes[1] + now.missing
    if not all(column.sizes):
        return column
    _compare_shares(column, before, found)
    column.p["distribution"] = counts_p_value(before, found)
    new = (before == 0) & (found >= policy.new_share * column.sizes[1])
    if new.any():
        # Were rows exchangeable, all k of a category would be among the current ones with at most this probability;
        # times the categories that could have been it.
        share = column.sizes[1] / sum(column.sizes)
        column.p["new"] = min(1.0, len(names) * share ** float(found[new].max()))
        column.new = tuple(np.array(names)[new].tolist())
    return column


def _compare_shares(column: _Column, before: NDArray[np.int64], now: NDArray[np.int64]) -> None:
    p, q = before / before.sum(), now / now.sum()
    column.psi, column.js = psi(p, q), js_distance(p, q)


def _test(columns: list[_Column], rows: int) -> None:
    """The tests that can be made of all columns at once."""
    numeric = [c for c in columns if c.ks is not None]
    if numeric:
        sizes = np.array([c.sizes for c in numeric])
        for column, p in zip(numeric, ks_p_values(np.array([c.ks for c in numeric], float), sizes[:, 0], sizes[:, 1])):
            column.p["distribution"] = float(p)
    # Where nothing is missing there is nothing to test: it would only cost the others power.
    lacking = [c for c in columns if any(c.missing)]
    if lacking:
        counts = np.array([c.missing for c in lacking])
        for column, p in zip(lacking, missing_p_values(counts[:, 0], rows, counts[:, 1], lacking[0].rows_now)):
            column.p["missing"] = float(p)


def _adjusted(columns: list[_Column]) -> Mapping[tuple[str, str], float]:
    tests = {(c.name, test): p for c in columns for test, p in c.p.items()}
    if not tests:
        return {}
    return dict(zip(tests, false_discovery_control(list(tests.values())).tolist()))


def _verdict(column: _Column, rows: int, q: Mapping[tuple[str, str], float], policy: DriftPolicy) -> FeatureDrift:
    of = {test: q.get((column.name, test)) for test in ("distribution", "missing", "new")}
    missing = (column.missing[0] / rows, column.missing[1] / column.rows_now)
    why = "; ".join(_reasons(column, of, missing, policy))
    return FeatureDrift(
        name=column.name,
        drifted=bool(why),
        why=why,
        ks=column.ks,
        p_value=column.p.get("distribution"),
        q_value=of["distribution"],
        psi=column.psi,
        js=column.js,
        missing_reference=missing[0],
        missing_current=missing[1],
        missing_q_value=of["missing"],
        mean_reference=column.means[0],
        mean_current=column.means[1],
        new_categories=column.new,
        new_q_value=of["new"],
    )


def _reasons(
    column: _Column, q: Mapping[str, float | None], missing: tuple[float, float], policy: DriftPolicy
) -> list[str]:
    def beyond_chance(test: str) -> bool:
        value = q[test]
        return value is not None and value <= policy.false_discovery_rate

    said = []
    if beyond_chance("distribution"):
        if column.ks is not None and column.ks >= policy.smallest_ks:
            said.append(f"KS {column.ks:.2f}, mean {column.means[0]:.3g} → {column.means[1]:.3g}")
        elif column.ks is None and column.js is not None and column.js >= policy.smallest_js:
            said.append(f"the shares of its categories have moved: Jensen–Shannon distance {column.js:.2f}")
    if beyond_chance("missing") and abs(missing[1] - missing[0]) >= policy.smallest_missing:
        said.append(f"missing {missing[0]:.1%} → {missing[1]:.1%}")
    if beyond_chance("new"):
        said.append(f"new: {', '.join(map(repr, column.new[:5]))}" + (" …" if len(column.new) > 5 else ""))
    return said


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None
