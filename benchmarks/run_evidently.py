"""Run by the interpreter of the peers' environment: Evidently's three measures of every column, and how long they took.

``python run_evidently.py reference.csv current.csv found.json REPEATS``. Timed twice: its report, as a user runs it,
and its three functions on the bare columns, without anything that the report adds. Reading and declaring the data is
not counted.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.legacy.calculations.stattests import jensenshannon_stat_test, ks_stat_test, psi_stat_test
from evidently.legacy.core import ColumnType
from evidently.metrics import ValueDrift

TESTS = {"ks": ks_stat_test, "psi": psi_stat_test, "jensenshannon": jensenshannon_stat_test}


def main(given: str, now: str, found: str, repeats: int) -> None:
    """Read, measure, write."""
    reference, current = (pd.read_csv(path, float_precision="round_trip") for path in (given, now))
    definition = DataDefinition(numerical_columns=list(reference.columns))
    then, later = (Dataset.from_pandas(table, data_definition=definition) for table in (reference, current))

    def report() -> None:
        Report([ValueDrift(column=name, method=method) for name in reference for method in TESTS]).run(later, then)

    def functions() -> dict[str, dict[str, float]]:
        return {
            name: {
                method: float(test(reference[name], current[name], ColumnType.Numerical, 0.1).drift_score)
                for method, test in TESTS.items()
            }
            for name in reference
        }

    out = {
        "report_seconds": best_of(report, 1 + repeats // 5),
        "function_seconds": best_of(functions, repeats),
        "values": functions(),
    }
    Path(found).write_text(json.dumps(out))


def best_of(call: Callable[[], object], repeats: int) -> float:
    """Processor seconds of the fastest of so many calls: other work on the machine counts less than on the clock."""
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        call()
        seconds.append(time.process_time() - started)
    return min(seconds)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
