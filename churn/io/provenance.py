"""Which code this is: for the tags of a model, and to tell whether a training would come out the same."""

import hashlib
import subprocess
from pathlib import Path

import churn
from churn.settings import REPOSITORY

_TRAINING_CODE = (
    "training", "search", "logistic", "curves", "boosting", "calibration", "model", "evaluation", "weighted_metrics",
    "features", "feature", "core_features", "extended_features",
)  # fmt: skip
"""Modules of churn.core that decide what model comes of a panel."""


def code_version() -> str:
    """Package version and, in a checkout, the commit; with + when files were changed since."""
    git = ["git", "-C", str(REPOSITORY)]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or not a checkout: the version has to do
        return churn.__version__
    return f"{churn.__version__}-{commit.stdout.strip()}{'+' if changed.stdout.strip() else ''}"


def training_code_fingerprint() -> str:
    """sha256 over the sources that a training depends on."""
    core = Path(churn.__file__).parent / "core"
    sources = b"".join((core / f"{name}.py").read_bytes() for name in _TRAINING_CODE)
    return hashlib.sha256(sources).hexdigest()
