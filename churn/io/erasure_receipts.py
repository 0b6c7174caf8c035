"""Receipts of erasures, in ``<home>/erasures``: for the owner of the data home alone, and each sealed with a hash."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from churn.io.lake import write_json


@dataclass(frozen=True)
class Place:
    """What became of one place."""

    files: int = 0
    """Files that were written anew or removed."""
    rows: int = 0
    """Rows of the customer that were removed."""


@dataclass(frozen=True)
class Receipt:
    """What one erasure came to."""

    customer_hash: str
    """Salted: another data home has another one for the same customer."""
    asked_by: str
    began_at: str
    finished_at: str | None
    """None: it was killed, or met an error; the same command goes on."""
    interrupted_before: bool
    """An earlier attempt had begun; what it removed is not counted here."""
    places: dict[str, Place]
    landing_files: dict[str, int]
    """Raw files that still hold rows of the customer, and how many: they are the source's."""
    left: tuple[str, ...]
    """What was not touched, and why."""
    receipt: str
    sha256: str = ""
    """Of all the rest."""


def begun(home: Path, customer_hash: str, who: str, began: datetime) -> Receipt:
    """One under a name that no other has, not yet written."""
    folder, name = home / "erasures", f"{began:%Y-%m-%d}-{customer_hash[:16]}"
    path, number = folder / f"{name}.json", 1
    while path.is_file():
        path, number = folder / f"{name}-{number + 1}.json", number + 1
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Receipt(customer_hash, who, time_text(began), None, False, {}, {}, (), str(path))


def receipts(home: Path, customer_hash: str) -> list[Receipt]:
    """A customer's, those that are not finished included."""
    found = []
    for path in sorted((home / "erasures").glob(f"*-{customer_hash[:16]}*.json")):
        values: dict[str, Any] = json.loads(path.read_text())
        places = {name: Place(**place) for name, place in values["places"].items()}
        receipt = Receipt(**{**values, "places": places, "left": tuple(values["left"])})
        if receipt.customer_hash == customer_hash:
            found.append(receipt)
    return found


def written(receipt: Receipt) -> Receipt:
    """Written to its file, and sealed."""
    facts = {name: value for name, value in asdict(receipt).items() if name != "sha256"}
    sealed = replace(receipt, sha256=hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest())
    write_json(Path(receipt.receipt), asdict(sealed))
    Path(receipt.receipt).chmod(0o600)
    return sealed


def time_text(moment: datetime) -> str:
    """A time as receipts have it."""
    return moment.isoformat(timespec="seconds")
