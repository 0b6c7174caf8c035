"""The drift reference on disk: what was saved is what is loaded, and what is damaged is refused."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from churn.core.drift import DriftReference, compare
from churn.errors import ContractViolation
from churn.io.drift_store import StoredReference, load_reference, save_reference


def a_table(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    holed = np.where(rng.random(200) < 0.2, np.nan, rng.normal(size=200) / 3)
    text = rng.choice(["free", "paid"], 200)
    return pd.DataFrame({"x": rng.gamma(2, 1 / 3, 200), "n": rng.poisson(2, 200), "holed": holed, "plan": text})


def stored(table: pd.DataFrame) -> StoredReference:
    return StoredReference(DriftReference.of(table), date(2026, 3, 1), 56, {"play": 7, "page 'Dislike'": 2})


def test_what_was_saved_is_loaded_and_compares_alike(tmp_path: Path) -> None:
    before, now = a_table(), a_table(1)
    save_reference(stored(before), tmp_path / "drift")
    found = load_reference(tmp_path / "drift")
    assert (found.as_of, found.history_days, found.kinds) == (date(2026, 3, 1), 56, {"play": 7, "page 'Dislike'": 2})
    assert compare(found.reference, now) == compare(before, now)


def test_equal_references_give_equal_bytes_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    save_reference(stored(a_table()), tmp_path / "one")
    save_reference(stored(a_table().sample(frac=1, random_state=3)), tmp_path / "two")
    for name in ("reference.parquet", "reference.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_damaged_or_foreign_reference_is_refused(tmp_path: Path) -> None:
    save_reference(stored(a_table()), tmp_path)
    facts = json.loads((tmp_path / "reference.json").read_text())
    (tmp_path / "reference.json").write_text(json.dumps(facts | {"format": 9}))
    with pytest.raises(ContractViolation, match="has format 9; this code reads 1"):
        load_reference(tmp_path)
    (tmp_path / "reference.json").write_text(json.dumps(facts))
    (tmp_path / "reference.parquet").write_bytes(b"PAR1")
    with pytest.raises(ContractViolation, match="not the file that was stored"):
        load_reference(tmp_path)
    (tmp_path / "reference.parquet").unlink()
    with pytest.raises(ContractViolation, match="cannot be read"):
        load_reference(tmp_path)
