"""Takes out of the API's environment what it never opens: ``python slim.py /opt/venv``, while the image is built.

Half of it is tests, headers for compilers, debug symbols, and parts of packages that nothing here imports. A package
that is in the lock and serves nothing at all is not installed in the first place (``serving.Dockerfile``).
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_NEVER = (
    # What compilers need.
    "pyarrow/include", "pyarrow/src", "numpy/_core/include", "numpy/_core/lib",
    # Arrow's RPC. Its core does link the libraries of datasets and query plans, which look as unused.
    "pyarrow/*flight*",
    # XGBoost imports scipy.sparse, the model scipy.special; these need linalg. Calibration is fitted elsewhere.
    "scipy/stats", "scipy/signal", "scipy/io", "scipy/interpolate", "scipy/integrate", "scipy/ndimage",
    "scipy/cluster", "scipy/odr", "scipy/fftpack", "scipy/datasets", "scipy/differentiate", "scipy/optimize",
    "scipy/spatial", "scipy/fft", "scipy/constants",
    # For those who compile against scipy.special.
    "scipy/special/cython_special.*",
    # MLflow's server and what is built on it: here is its client. Of model flavours it knows pyfunc alone.
    "mlflow/server", "mlflow/assistant", "mlflow/demo", "mlflow/cli", "mlflow/store/db_migrations",
    "mlflow/langchain", "mlflow/transformers", "mlflow/sagemaker",
    # For the tests of dialects; and the dialects of other databases.
    "sqlalchemy/testing", "sqlalchemy/dialects/mssql", "sqlalchemy/dialects/mysql", "sqlalchemy/dialects/oracle",
    # The score book is tables and SQL: no objects are mapped.
    "sqlalchemy/orm", "sqlalchemy/ext",
    # XGBoost on clusters, and what tests it.
    "xgboost/dask", "xgboost/spark", "xgboost/testing",
    # Plotly is here for one file, kept below.
    "_plotly_utils",
)  # fmt: skip
_SUFFIXES = {".pyi", ".pyx", ".pxd", ".pxi", ".h", ".hpp", ".c", ".cpp", ".a"}
_KEPT_OF = {"plotly": ("package_data/plotly.min.js",)}
"""Of a package that only brings a file."""
_TWINS = "pyarrow/libarrow_python.so*"
"""Copies of one library under three names, which a wheel cannot hold as links."""


def slim(site: Path) -> None:
    """Take it out of a ``site-packages`` folder."""
    for package, kept in _KEPT_OF.items():
        _keep_only(site / package, [site / package / name for name in kept])
    for pattern in _NEVER:
        if not (found := list(site.glob(pattern))):
            raise SystemExit(f"{pattern} is not there any more: look what became of it, and change the list")
        for path in found:
            _remove(path)
    # MLflow looks for a package below this name and fails without the name.
    (site / "databricks").mkdir()
    for folder in [p for p in site.rglob("tests") if p.is_dir()]:
        shutil.rmtree(folder)
    for path in site.rglob("*"):
        if path.suffix in _SUFFIXES and path.is_file():
            path.unlink()
    _link_twins(list(site.glob(_TWINS)))
    for library in _libraries(site):
        subprocess.run(["strip", "--strip-unneeded", str(library)], check=True)


def _keep_only(folder: Path, kept: list[Path]) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):  # what a folder holds, then the folder
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        elif path.is_file() and path not in kept:
            path.unlink()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _link_twins(files: list[Path]) -> None:
    """The longest name stays a file, as libraries are usually laid out."""
    *twins, whole = sorted(files, key=lambda f: len(f.name))
    for twin in twins:
        if twin.read_bytes() == whole.read_bytes():
            twin.unlink()
            twin.symlink_to(whole.name)


def _libraries(site: Path) -> Iterator[Path]:
    """Those with debug symbols to lose. What auditwheel has put into ``*.libs`` was laid out by hand, and breaks."""
    for path in site.rglob("*.so*"):
        if path.is_file() and not path.is_symlink() and not path.parent.name.endswith(".libs"):
            yield path


if __name__ == "__main__":
    for found in Path(sys.argv[1]).glob("lib/python3*/site-packages"):
        slim(found)
