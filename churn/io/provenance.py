"""Which code this is: for the tags of a model, and to tell whether a training would come out the same."""

import hashlib
import subprocess
from pathlib import Path

import churn
from churn.settings import REPOSITORY


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
    """sha256 over the sources that a training and its evaluation may depend on: the core without the simulator."""
    core = Path(churn.__file__).parent / "core"
    sources = [path for path in sorted(core.glob("*.py")) if not path.name.startswith("simul")]
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in sources)).hexdigest()
