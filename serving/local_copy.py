"""Versions on this machine's disk: fetched whole, checked when they are loaded, the last good one remembered."""

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from churn.core.model import CORE, FULL
from churn.errors import ContractViolation
from churn.io.registry import Models, ModelVersion, Registry

_LOG = logging.getLogger(__name__)
_ABOUT, _EVALUATION, _LAST = "version.json", "evaluation.json", "last-good.json"
_KEPT_SECONDS = 3600.0
"""A copy that another worker may be loading at this moment is not removed."""


@dataclass(frozen=True)
class Package:
    """A version with everything that is served of it."""

    version: ModelVersion
    models: Models
    metrics: Mapping[str, float]
    evaluation: Mapping[str, Any]
    """What its training wrote down of the hold-out; empty for a version that has none."""


class LocalCopies:
    """Copies of versions below a folder that only this user can read.

    A copy appears in one rename, so that a killed download leaves none.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fetch(self, registry: Registry, version: ModelVersion) -> Package:
        """The version from its copy; downloaded where there is none, or none that is whole.

        Raises ContractViolation where a downloaded file differs from its manifest.
        """
        copy = self._copy_of(version)
        if copy.is_dir():
            try:
                return _loaded(copy)
            except (ContractViolation, OSError, ValueError, KeyError) as e:
                _LOG.warning("a local copy is not whole", extra={"model_version": version.version, "error": str(e)})
                shutil.rmtree(copy, ignore_errors=True)  # another worker may be at it too
        self._download(registry, version, copy)
        try:
            return _loaded(copy)
        except Exception:
            shutil.rmtree(copy, ignore_errors=True)  # the next try asks the registry again
            raise

    def remember(self, version: ModelVersion) -> None:
        """Name it the last good one, and remove the copies of an hour ago that are not it."""
        copy = self._copy_of(version)
        aside = self._folder / f".{_LAST}-{os.getpid()}"
        aside.write_text(json.dumps({"copy": copy.name}) + "\n")
        aside.replace(self._folder / _LAST)
        for other in self._folder.iterdir():
            if other.is_dir() and other != copy and time.time() - other.stat().st_mtime > _KEPT_SECONDS:
                shutil.rmtree(other, ignore_errors=True)  # whatever is left is removed with the next version

    def last_good(self) -> Package | None:
        """The version that was remembered last; None without one. Raises ContractViolation like :meth:`fetch`."""
        pointer = self._folder / _LAST
        if not pointer.is_file():
            return None
        copy = self._folder / str(json.loads(pointer.read_text())["copy"])
        return _loaded(copy) if copy.is_dir() else None

    def _copy_of(self, version: ModelVersion) -> Path:
        # Version numbers start again in another registry; runs have names of their own everywhere.
        return self._folder / f"{version.version}-{version.run_id}"

    def _download(self, registry: Registry, version: ModelVersion, copy: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder.chmod(0o700)
        aside = Path(tempfile.mkdtemp(prefix=".fetching-", dir=self._folder))
        try:
            whole = aside / "copy"
            whole.mkdir(mode=0o700)
            for name, folder in registry.download(version, aside / "registry").items():
                if not folder.is_dir():
                    raise ContractViolation(f"version {version.version} has lost its {name} model")
                shutil.move(folder, whole / name)
            if (evaluation := registry.attachment(version, _EVALUATION, aside)) is not None:
                shutil.move(evaluation, whole / _EVALUATION)
            about = {"version": asdict(version), "metrics": registry.metrics(version)}
            (whole / _ABOUT).write_text(json.dumps(about, default=datetime.isoformat) + "\n")
            try:
                whole.replace(copy)
            except OSError:
                if not copy.is_dir():  # otherwise another worker was faster
                    raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _loaded(copy: Path) -> Package:
    about = json.loads((copy / _ABOUT).read_text())
    given = about["version"]
    moments = {name: datetime.fromisoformat(given[name]) for name in ("created_at", "changed_at")}
    folders = {name: copy / name for name in (CORE, FULL) if (copy / name).is_dir()}
    evaluation = copy / _EVALUATION
    return Package(
        version=ModelVersion(**{**given, **moments}),
        models=Models.load(folders),
        metrics={name: float(value) for name, value in about["metrics"].items()},
        evaluation=json.loads(evaluation.read_text()) if evaluation.is_file() else {},
    )
