"""How fast drift is compared, beside Evidently: ``python -m benchmarks.drift_speed``; some minutes, most of them its.

The same two tables, 17,772 customers and 41 columns, made from a seed; the same three measures (Kolmogorov–Smirnov,
PSI, Jensen–Shannon); a process each; processor time, the best of some repeats. Ours also corrects for many tests, and
starts from a reference that was prepared at training, as every night does; from two bare tables is told beside. Values
are compared where the definitions are equal: the p-value of KS everywhere, PSI and Jensen–Shannon on columns of up to
20 values.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.peer_environment import NoPeer, environment, run
from churn.core.drift import DriftReference, compare

ROWS, COLUMNS = 17_772, 41
_EVIDENTLY = ("evidently==0.7.23", "numpy==2.4.6", "pandas==2.3.3", "scipy==1.17.1", "scikit-learn==1.9.1")
_FEW = 20


def tables(rows: int, columns: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A reference, and a current table of which every eighth column has moved."""
    rng = np.random.default_rng(seed)
    reference, current = (pd.DataFrame({f"f{i:02}": _column(rng, i, rows) for i in range(columns)}) for _ in "ab")
    for name in reference.columns[::8]:
        current[name] = current[name] * 1.2 if reference[name].nunique() > _FEW else current[name].clip(upper=1)
    return reference, current


def _column(rng: np.random.Generator, number: int, rows: int) -> np.ndarray:  # type: ignore[type-arg]
    """As feature tables have them: long tails, counts, masses at zero, shares, flags, durations."""
    match number % 6:
        case 0:
            return rng.lognormal(3, 1.2, rows).round(2)
        case 1:
            return rng.poisson(rng.gamma(0.8, 60, rows)).astype(float)
        case 2:
            return rng.poisson(1.3, rows).astype(float)
        case 3:
            return np.where(rng.random(rows) < 0.4, 0.0, rng.gamma(1.5, 20, rows))
        case 4:
            return rng.beta(2, 5, rows)
        case _:
            return (rng.random(rows) < 0.6).astype(float) if number % 12 == 5 else rng.exponential(3_600, rows)


def ours(given: str, now: str, found: str, repeats: int) -> None:
    """Read, measure, write; in a process of its own."""
    reference, current = (pd.read_csv(path, float_precision="round_trip") for path in (given, now))
    prepared = DriftReference.of(reference)
    out = {
        "seconds": _best_of(lambda: compare(prepared, current), repeats),
        "from_tables_seconds": _best_of(lambda: compare(reference, current), repeats),
        "values": {
            f.name: {"ks": f.p_value, "psi": f.psi, "jensenshannon": f.js} for f in compare(prepared, current).features
        },
    }
    Path(found).write_text(json.dumps(out))


def measure(rows: int = ROWS, columns: int = COLUMNS, seed: int = 7, repeats: int = 5) -> dict[str, Any]:
    """Both, one after the other. Raises NoPeer where Evidently cannot be installed."""
    python = environment("evidently", _EVIDENTLY)
    with tempfile.TemporaryDirectory(prefix="churn-drift-speed-") as folder:
        files = [str(Path(folder) / name) for name in ("reference.csv", "current.csv")]
        made = tables(rows, columns, seed)
        for table, file in zip(made, files):
            table.to_csv(file, index=False)
        here, there = Path(folder) / "ours.json", Path(folder) / "theirs.json"
        run([sys.executable, "-m", "benchmarks.drift_speed", "--ours", *files, str(here), "--repeats", str(repeats)])
        script = str(Path(__file__).with_name("run_evidently.py"))
        # Isolated: neither our packages nor the user's own are seen.
        run([str(python), "-I", "-W", "ignore", script, *files, str(there), str(repeats)])
        return _compared(json.loads(here.read_text()), json.loads(there.read_text()), made[0])


def _compared(mine: dict[str, Any], theirs: dict[str, Any], reference: pd.DataFrame) -> dict[str, Any]:
    few = [name for name in reference if reference[name].nunique() <= _FEW]
    # Evidently's Jensen–Shannon is in nats, ours in bits.
    scale = {"ks": 1.0, "psi": 1.0, "jensenshannon": math.sqrt(math.log(2))}
    differences = {
        measure: max(
            abs(mine["values"][name][measure] * factor - theirs["values"][name][measure])
            for name in (reference.columns if measure == "ks" else few)
        )
        for measure, factor in scale.items()
    }
    return {
        "rows": len(reference),
        "columns": reference.shape[1],
        "columns_of_few_values": len(few),
        "evidently": _EVIDENTLY[0],
        "seconds": mine["seconds"],
        "from_tables_seconds": mine["from_tables_seconds"],
        "evidently_report_seconds": theirs["report_seconds"],
        "evidently_function_seconds": theirs["function_seconds"],
        "ratio": theirs["report_seconds"] / mine["seconds"],
        "ratio_functions": theirs["function_seconds"] / mine["seconds"],
        "largest_difference": differences,
    }


def _best_of(call: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        call()
        seconds.append(time.process_time() - started)
    return min(seconds)


def main() -> None:
    """Print a table, or why there is none."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--ours", nargs=3, metavar=("REFERENCE", "CURRENT", "FOUND"), help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    if given.ours:
        ours(*given.ours, given.repeats)
        return
    try:
        found = measure(seed=given.seed, repeats=given.repeats)
    except NoPeer as e:
        sys.exit(f"Evidently cannot be had here: {e}")
    print(json.dumps(found) if given.json else _said(found))  # noqa: T201 - its reader is a person


def _said(found: dict[str, Any]) -> str:
    worst = ", ".join(f"{measure} {value:.1e}" for measure, value in found["largest_difference"].items())
    rows = [
        ("this project, reference prepared", found["seconds"]),
        ("this project, from two tables", found["from_tables_seconds"]),
        (f"{found['evidently']}, its report", found["evidently_report_seconds"]),
        (f"{found['evidently']}, its bare functions", found["evidently_function_seconds"]),
    ]
    lines = [
        f"{name:<40} {seconds * 1000:>10,.0f} ms {seconds / found['seconds']:>8.1f} times" for name, seconds in rows
    ]
    return "\n".join(
        [
            f"Drift of {found['rows']:,} customers × {found['columns']} columns: KS, PSI, Jensen–Shannon",
            *lines,
            f"Largest difference where definitions are equal ({found['columns_of_few_values']} columns of up to {_FEW} "
            f"values; KS on all): {worst}",
        ]
    )


if __name__ == "__main__":
    main()
