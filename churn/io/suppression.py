"""Who was forgotten, so that no file brings them back: a file for each, named by a salted hash of the customer id.

Nothing here says who it was. Whoever can read the salt can try an id they know against the list, which is what
ingestion does with every customer of a new file; so both are for the owner of the data home alone.
"""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from churn.errors import BadInput

_SALT, _SWEPT, _SWEEPING = ".salt", ".swept", ".sweeping"
_WHOLE = re.compile(r"([0-9]+)\.0")
_LONGEST = 1_000


def canonical_id(text: str) -> str:
    """A customer id as ingestion writes it: no outer blanks, '39.0' is '39'. Raises BadInput that does not name it."""
    text = text.strip()
    if not text or len(text) > _LONGEST or "\0" in text:
        raise BadInput(f"that is no customer id: give one of 1 to {_LONGEST} characters")
    found = _WHOLE.fullmatch(text)
    return found[1] if found else text


def known_as(text: str) -> str | None:
    """As :func:`canonical_id`, for what is compared with one; None for what cannot be one.

    Ingestion takes off blanks alone, so that what it keeps may end in a tab.
    """
    try:
        return canonical_id(text)
    except BadInput:
        return None


class Suppressions:
    """The list in ``<home>/suppressed``. Adding somebody twice changes nothing, nor does being killed while adding."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "suppressed"

    def hash_of(self, customer_id: str) -> str:
        """Of this data home: another one's salt gives another hash. Makes the salt when there is none yet."""
        return _hash(self._salt(), customer_id)

    def add(self, customer_id: str) -> None:
        """Let no ingestion accept this customer any more."""
        path = self._folder / self.hash_of(customer_id)
        if not path.exists():
            _write_whole(path, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n")

    def since(self) -> dict[str, datetime]:
        """Each hash, and when it was added."""
        if not self._folder.is_dir():
            return {}
        files = [path for path in self._folder.iterdir() if not path.name.startswith(".")]
        return {path.name: datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in files}

    def among(self, customer_ids: Iterable[str]) -> set[str]:
        """Those of these customers that were forgotten."""
        if not (hashes := self.since().keys()):
            return set()
        salt = self._salt(make=False)
        named = {customer: known_as(customer) for customer in customer_ids}
        return {customer for customer, name in named.items() if name is not None and _hash(salt, name) in hashes}

    def swept_at(self) -> datetime | None:
        """When the last search for them all began that came to its end."""
        path = self._folder / _SWEPT
        return datetime.fromtimestamp(path.stat().st_mtime, UTC) if path.is_file() else None

    @property
    def sweeping(self) -> bool:
        """Whether a search has begun and did not come to its end."""
        return (self._folder / _SWEEPING).is_file()

    def begin_sweep(self) -> None:
        _touch(self._folder / _SWEEPING)

    def end_sweep(self, began: datetime) -> None:
        _touch(self._folder / _SWEPT, began.timestamp())
        (self._folder / _SWEEPING).unlink(missing_ok=True)

    def _salt(self, *, make: bool = True) -> bytes:
        path = self._folder / _SALT
        if not path.is_file():
            if not make or self.since():
                raise BadInput(
                    f"{path} is gone, and without it nobody can tell who was forgotten: bring it back from a backup"
                )
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write_whole(path, secrets.token_hex(32) + "\n")
        return bytes.fromhex(path.read_text(encoding="ascii"))


def _hash(salt: bytes, customer_id: str) -> str:
    return hmac.new(salt, customer_id.encode(), hashlib.sha256).hexdigest()


def _touch(path: Path, at: float | None = None) -> None:
    path.touch(mode=0o600)
    if at is not None:
        os.utime(path, (at, at))


def _write_whole(path: Path, text: str) -> None:
    """For the owner only; of two processes that write it at once the first one wins, whole."""
    aside = path.with_name(f".{path.name.removeprefix('.')}.{os.getpid()}.part")
    aside.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if not path.exists():
            try:
                os.link(aside, path)
            except FileExistsError:
                return
    finally:
        aside.unlink(missing_ok=True)
