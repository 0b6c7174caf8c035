"""A peer in an environment of its own, made on demand under ``.venv-peers/``: pinned, and no dependency of ours.

Data go to it and back as CSV or parquet files.
"""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import pandas as pd

_REPOSITORY = Path(__file__).resolve().parents[1]
_ENVIRONMENTS = _REPOSITORY / ".venv-peers"
_LIFETIMES = ("lifetimes==0.11.3", "numpy==2.4.6", "pandas==3.1.1", "scipy==1.17.1", "autograd==1.9.1", "dill==0.4.1")
POLARS = ("polars==2.1.0",)
PANDAS = ("pandas==3.1.1", "numpy==2.4.6", "pyarrow==25.0.1")


class NoPeer(Exception):
    """The peer cannot be had here, and why."""


def buy_till_you_die(summary: pd.DataFrame, horizon_days: int) -> tuple[pd.DataFrame, str]:
    """BG/NBD of the package lifetimes, and its version; see :mod:`benchmarks.run_lifetimes`.

    ``summary`` has ``customer_id``, ``frequency``, ``recency`` and ``T``. Raises NoPeer.
    """
    python = environment("bgnbd", _LIFETIMES)
    with tempfile.TemporaryDirectory(prefix="churn-peer-") as folder:
        given, found = Path(folder) / "summary.csv", Path(folder) / "found.csv"
        summary.to_csv(given, index=False)
        script = _REPOSITORY / "benchmarks" / "run_lifetimes.py"
        # Isolated: neither our packages nor the user's own are seen.
        run([str(python), "-I", "-W", "ignore", str(script), str(given), str(found), str(horizon_days)])
        return pd.read_csv(found, dtype={"customer_id": str}), _LIFETIMES[0]


def environment(name: str, packages: tuple[str, ...]) -> Path:
    """The interpreter of the environment; made anew unless a stamp says that it holds these packages."""
    folder = _ENVIRONMENTS / name
    python, stamp = folder / "bin" / "python", folder / "packages.txt"
    wanted = "\n".join(packages)
    if stamp.is_file() and stamp.read_text() == wanted and python.exists():
        return python
    try:
        venv.create(folder, clear=True, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as e:
        raise NoPeer(f"no virtual environment could be made in {folder.relative_to(_REPOSITORY)}: {e}") from e
    run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
    stamp.write_text(wanted)
    return python


def spark_interpreter() -> Path:
    """The one that holds pyspark: CHURN_SPARK_PYTHON, or that of ``.venv-spark``. Raises NoPeer."""
    python = Path(os.environ.get("CHURN_SPARK_PYTHON") or _REPOSITORY / ".venv-spark" / "bin" / "python")
    if not python.exists():
        raise NoPeer("Spark has no environment here: run `make spark`, or name its Python in CHURN_SPARK_PYTHON")
    return python


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["no message"]
        what = " ".join(Path(part).name for part in command[:4])
        raise NoPeer(f"`{what} …` failed on Python {sys.version.split()[0]}: {last[0]}")
