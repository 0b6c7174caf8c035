"""The challenger's behaviour: the checks of the core, given a disk and a clock."""

import tempfile
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from churn.core.behaviour import check_behaviour, failures
from churn.core.model import CORE, FULL, ChurnModel
from churn.io.registry import Models
from churn.steps.fit import COLUMNS

_ASKED = 200
"""Single rows timed. The fastest says what the model takes, the others what else the machine was doing: a busy night
must not speak against a model (measured beside other work: the fastest 0.6 ms each time, medians up to 1.6 ms, single
rows up to 18 ms)."""


def behaviour_of(models: Models, table: pd.DataFrame) -> tuple[dict[str, list[dict[str, Any]]], tuple[str, ...]]:
    """Checks of each model of a version on these rows, ready for JSON, by name; and what speaks against it."""
    found, against = {}, []
    for name, model in ((FULL, models.full), (CORE, models.core)):
        if name == FULL and models.full is models.core:
            continue  # registered before a version held two
        with tempfile.TemporaryDirectory(prefix="churn-model-") as folder:
            checks = check_behaviour(
                model, table, COLUMNS[name], reloaded=partial(_reloaded, model, Path(folder) / "model"),
                milliseconds=partial(_milliseconds, model, table),
            )  # fmt: skip
        found[name] = [asdict(check) for check in checks]
        against += [f"the {name} model, {failure}" for failure in failures(checks)]
    return found, tuple(against)


def _reloaded(model: ChurnModel, folder: Path) -> ChurnModel:
    model.save(folder)
    return ChurnModel.load(folder)


def _milliseconds(model: ChurnModel, table: pd.DataFrame) -> float:
    """The fastest of many single rows, as a request brings them."""
    rows = table[list(model.features)]
    took = []
    for i in range(_ASKED):
        row = rows.iloc[[i % len(rows)]]
        start = time.perf_counter()
        model.predict_proba(row)
        took.append(time.perf_counter() - start)
    return 1000 * min(took)
