"""Great Expectations: suites built from the contract and from the feature list, and what they found.

Importing Great Expectations takes seconds, so it happens inside the call.
"""

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from churn.core.canonical import Rule
from churn.core.features import Feature

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations.expectation import Expectation


@dataclass(frozen=True)
class Finding:
    """One expectation and how the data met it."""

    rule: str
    expectation: str
    success: bool
    checked: int
    unexpected: int

    @property
    def share(self) -> float:
        """Of what was checked, how much was unexpected."""
        return self.unexpected / self.checked if self.checked else 0.0


@dataclass(frozen=True)
class Validation:
    """A suite's outcome: what failed, by name and count."""

    suite: str
    success: bool
    rows: int
    findings: tuple[Finding, ...]

    @property
    def failures(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if not f.success)

    @property
    def met(self) -> int:
        """How many expectations held."""
        return len(self.findings) - len(self.failures)


def validate_events(frame: "pd.DataFrame", rules: Sequence[Rule], *, max_bad_share: float) -> Validation:
    """Check judged rows (``raw_<column>`` and ``<column>``) against the contract's rules.

    A rule holds when the share of rows that break it is at most ``max_bad_share``.
    """
    return _validate("events", frame, [_row_expectation(r, 1 - max_bad_share) for r in rules])


def validate_features(frame: "pd.DataFrame", features: Sequence[Feature]) -> Validation:
    """Check a feature table (``customer_id`` and one column per feature): complete, unique, every value in range."""
    gxe = _great_expectations().expectations
    expectations: list[Expectation] = [
        gxe.ExpectTableRowCountToBeBetween(min_value=1, meta={"rule": "there are customers"}),
        gxe.ExpectTableColumnsToMatchSet(
            column_set=["customer_id", *(f.name for f in features)], exact_match=True, meta={"rule": "all columns"}
        ),
        gxe.ExpectColumnValuesToNotBeNull(column="customer_id", meta={"rule": "customer_id is given"}),
        gxe.ExpectColumnValuesToBeUnique(column="customer_id", meta={"rule": "customer_id is unique"}),
    ]
    for f in features:
        expectations += [
            gxe.ExpectColumnValuesToNotBeNull(column=f.name, meta={"rule": f"{f.name} is given"}),
            gxe.ExpectColumnValuesToBeBetween(
                column=f.name, min_value=f.minimum, max_value=f.maximum,
                meta={"rule": f"{f.name} is between {f.minimum:g} and {f.maximum:g}"},
            ),
        ]  # fmt: skip
    return _validate("features", frame, expectations)


def _great_expectations() -> Any:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read at import: no call leaves this machine
    logging.getLogger("great_expectations").setLevel(logging.WARNING)  # it tells hundreds of lines about itself
    import great_expectations

    return great_expectations


def _row_expectation(rule: Rule, mostly: float) -> "Expectation":
    gxe = _great_expectations().expectations
    from great_expectations.expectations.row_conditions import Column

    raw, common = f"raw_{rule.column}", {"mostly": mostly, "meta": {"rule": rule.name}}
    match rule.check:
        case "given":
            return gxe.ExpectColumnValuesToNotBeNull(column=raw, **common)
        case "readable":
            return gxe.ExpectColumnValuesToNotBeNull(
                column=rule.column, row_condition=Column(raw).is_not_null(), **common
            )
        case "known":
            return gxe.ExpectColumnValuesToBeInSet(column=raw, value_set=list(rule.values), **common)
        case "between":
            return gxe.ExpectColumnValuesToBeBetween(
                column=rule.column, min_value=rule.minimum, max_value=rule.maximum, **common
            )


def _validate(name: str, frame: "pd.DataFrame", expectations: "Iterable[Expectation]") -> Validation:
    gx = _great_expectations()
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    # The default ephemeral context leaves a temporary folder behind each time.
    config = DataContextConfig(store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False))
    config.progress_bars = ProgressBarsConfig(globally=False)
    context: Any = gx.get_context(mode="ephemeral", project_config=config)
    source = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    batch = source.add_batch_definition_whole_dataframe(name).get_batch(batch_parameters={"dataframe": frame})
    result = batch.validate(gx.ExpectationSuite(name=name, expectations=list(expectations)), result_format="BASIC")
    return Validation(name, bool(result.success), len(frame), tuple(_finding(r) for r in result.results))


def _exception(info: dict[str, Any]) -> str | None:
    """Why an expectation could not be checked: Great Expectations keeps it flat, or once per metric."""
    for found in (info, *(v for v in info.values() if isinstance(v, dict))):
        if found.get("exception_message"):
            return str(found["exception_message"]).strip().splitlines()[0]
    return None


def _finding(result: Any) -> Finding:
    error = _exception(result.exception_info or {})
    return Finding(
        rule=str(result.expectation_config.meta["rule"]) + (f" (not checked: {error})" if error else ""),
        expectation=str(result.expectation_config.type),
        success=bool(result.success),
        checked=int(result.result.get("element_count") or 0),
        unexpected=int(result.result.get("unexpected_count") or 0),
    )
