"""Where engines put what does not fit into memory: on the disk of the data it is of, and gone with its process."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

_SPILL = ".spill"


@contextmanager
def spill_folder(home: Path | None = None) -> Iterator[Path]:
    """An empty folder, removed at the end. What killed processes left in ``home`` is removed first.

    What is spilled names customers, and the system's temporary folder may be memory: only what is of no data home goes
    there.
    """
    if home is None:
        with tempfile.TemporaryDirectory(prefix="churn-spill-", ignore_cleanup_errors=True) as temporary:
            yield Path(temporary)
        return
    top = home / _SPILL
    top.mkdir(parents=True, exist_ok=True)
    folder = top / f"{os.getpid()}-{uuid4().hex}"
    with _alone(top):
        _remove_dead(top)
        held = _held(folder).open("wb")
        fcntl.flock(held, fcntl.LOCK_EX)
        folder.mkdir(mode=0o700)
    with held:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # what is left goes at the next opening
            _held(folder).unlink(missing_ok=True)


def remove_dead(home: Path) -> None:
    """Remove what killed processes spilled into a data home."""
    if (top := home / _SPILL).is_dir():
        with _alone(top):
            _remove_dead(top)


def _remove_dead(top: Path) -> None:
    """Whoever lives holds the lock of its folder. Numbers of processes say nothing of those in other containers."""
    for name in {path.name.removesuffix(".lock") for path in top.glob("*-*")}:
        # Held by one at work, or another user's.
        with suppress(BlockingIOError, PermissionError), _held(top / name).open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(top / name, ignore_errors=True)
            _held(top / name).unlink(missing_ok=True)


@contextmanager
def _alone(top: Path) -> Iterator[None]:
    """Nobody looks for the dead while a folder is made, and not yet locked."""
    with (top / ".lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _held(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")
