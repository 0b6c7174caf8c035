"""Panels read from a file: sampled by a rule that anybody can check, a bounded number of rows at a time."""

import hashlib
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn.core.training import customer_folds
from churn.errors import BadInput
from churn.io import panel_file
from churn.io.erasing import drop_rows
from churn.io.panel_file import PanelFile

DAYS = [date(2026, 5, 1), date(2026, 5, 8), date(2026, 6, 1)]
CUSTOMERS = 2_000
SEED = 42


def panel(seed: int = 0) -> pa.Table:
    """Three cut-offs, the last held out; a tenth churned."""
    rng = np.random.default_rng(seed)
    frames = [
        pd.DataFrame(
            {
                "as_of": day,
                "churned": (rng.random(CUSTOMERS) < 0.1).astype(np.int32),
                "customer_id": [f"é{i:05}" for i in range(CUSTOMERS)],
                "a": rng.normal(size=CUSTOMERS),
                "b": np.where(rng.random(CUSTOMERS) < 0.1, np.inf, 1.0),
            }
        )
        for day in DAYS
    ]
    return pa.Table.from_pandas(pd.concat(frames), preserve_index=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "as_of=2026-06-20" / "panel.parquet"  # a folder that names another date than any row
    path.parent.mkdir()
    pq.write_table(panel(), path, row_group_size=1_500)
    return path


def keys(rows: pd.DataFrame) -> list[tuple[date, str]]:
    return list(zip(rows["as_of"], rows["customer_id"], strict=True))


def test_a_panel_that_fits_is_read_whole_and_has_no_weights(path: Path) -> None:
    file, table = PanelFile(path), panel().to_pandas()
    given = file.training(4_000, SEED)
    assert given.weights is None
    assert given.rows.equals(table[table["as_of"] < DAYS[2]].reset_index(drop=True))
    assert file.training_rows == 4_000
    assert file.churned == given.rows["churned"].sum()


def test_of_a_longer_one_all_who_churned_are_kept_and_some_of_the_others_stand_for_all(path: Path) -> None:
    file, table = PanelFile(path), panel().to_pandas()
    given = file.training(1_000, SEED)
    assert given.weights is not None
    training = table[table["as_of"] < DAYS[2]]
    assert set(keys(training[training["churned"] == 1])) <= set(keys(given.rows))
    stayed, share = file.stayed, (1_000 - file.churned) / file.stayed
    assert abs(len(given.rows) - 1_000) < 5 * np.sqrt(stayed * share * (1 - share))
    for outcome, there in ((0, file.stayed), (1, file.churned)):
        assert given.weights[given.rows["churned"] == outcome].sum() == pytest.approx(there)
    assert file.holdout()["customer_id"].tolist() == table[table["as_of"] == DAYS[2]]["customer_id"].tolist()


def test_who_is_drawn_is_a_hash_that_anybody_can_compute(path: Path) -> None:
    file = PanelFile(path)
    share = (1_000 - file.churned) / file.stayed
    expected = [
        (day, who)
        for day, who, churned in panel().select(["as_of", "customer_id", "churned"]).to_pandas().itertuples(index=False)
        if day < DAYS[2]
        and (churned or int(hashlib.md5(f"{SEED} {day} {who}".encode()).hexdigest(), 16) < int(share * 16**32))
    ]
    assert keys(file.training(1_000, SEED).rows) == expected


def test_the_order_of_the_file_changes_nothing_and_the_seed_does(path: Path) -> None:
    first = PanelFile(path).training(1_000, SEED).rows
    other_seed = PanelFile(path).training(1_000, SEED + 1).rows
    mixed = panel().take(np.random.default_rng(3).permutation(3 * CUSTOMERS))
    pq.write_table(mixed, path, row_group_size=700)
    again = PanelFile(path).training(1_000, SEED).rows
    assert set(keys(first)) == set(keys(again))
    assert set(keys(first)) != set(keys(other_seed))


def test_a_larger_sample_holds_the_smaller_one(path: Path) -> None:
    small, large = (set(keys(PanelFile(path).training(most, SEED).rows)) for most in (900, 2_000))
    assert small < large


def test_where_most_churned_they_are_sampled_too_and_the_sample_stays_in_its_bounds(tmp_path: Path) -> None:
    table = panel()
    flipped = pa.array(1 - table["churned"].to_numpy(), pa.int32())
    pq.write_table(table.set_column(1, "churned", flipped), tmp_path / "p.parquet")
    file = PanelFile(tmp_path / "p.parquet")
    given = file.training(1_000, SEED)
    assert given.weights is not None
    assert 800 < len(given.rows) < 1_200
    assert given.weights.sum() == pytest.approx(4_000)
    assert (given.rows["churned"] == 0).sum() == file.stayed


def test_a_hold_out_that_is_too_long_is_drawn_from_whatever_the_outcome(path: Path) -> None:
    file = PanelFile(path)
    assert file.holdout(CUSTOMERS).equals(file.holdout())
    drawn, there = file.holdout(500), panel().to_pandas()
    assert abs(len(drawn) - 500) < 5 * np.sqrt(500 * 0.75)
    assert set(drawn["as_of"]) == {DAYS[2]}
    assert drawn.equals(file.holdout(500))
    assert set(keys(drawn)) < set(keys(there))
    rate = there["churned"].mean()
    assert abs(drawn["churned"].mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / 500)


def test_a_customer_leaves_a_panel_part_by_part_and_its_parts_stay_small(path: Path) -> None:
    one = "é00007"
    assert drop_rows(path, ["customer_id"], lambda there: {one} & set(there)) == 3
    file = pq.ParquetFile(path)
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [1_499, 1_499, 1_499, 1_500]
    table = panel().to_pandas()
    assert file.read().to_pandas().equals(table[table["customer_id"] != one].reset_index(drop=True))


def test_folds_of_a_sample_never_split_a_customer(path: Path) -> None:
    rows = PanelFile(path).training(1_500, SEED).rows
    customers = rows["customer_id"].to_numpy()
    assert rows["customer_id"].duplicated().any()
    for fit, held in customer_folds(rows["churned"].to_numpy(np.int64), customers, SEED):
        assert not set(customers[fit]) & set(customers[held])


def test_batches_hold_few_rows_each_and_together_all_of_the_training(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panel_file, "BATCH_ROWS", 300)
    read = list(PanelFile(path).batches(["b", "a"]))
    assert max(len(x) for x, _ in read) <= 300
    values, labels = (np.concatenate(part) for part in zip(*read, strict=True))
    table = panel().to_pandas()
    expected = table[table["as_of"] < DAYS[2]]
    assert np.array_equal(labels, expected["churned"])
    assert np.array_equal(values[:, 1], expected["a"])
    assert np.isnan(values[:, 0]).sum() == np.isinf(expected["b"]).sum()


def test_the_cache_of_a_training_is_gone_after_it_however_it_ends(path: Path) -> None:
    with PanelFile(path).whole(["a", "b"]) as whole:
        assert whole.cache.is_dir()
        assert (whole.rows, whole.cache.parent) == (4_000, path.parent)
    with pytest.raises(KeyboardInterrupt), PanelFile(path).whole(["a"]) as whole:
        (whole.cache / "page").write_bytes(b"0")
        raise KeyboardInterrupt
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_training_left_is_removed_by_the_next(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from churn.io.panel_file import PanelFile\n"
        "with PanelFile(Path(sys.argv[1])).whole(['a']) as whole:\n"
        "    (whole.cache / 'page').write_bytes(b'0'); print('here', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        with PanelFile(path).whole(["a"]):  # another training of the same panel, whose cache stays
            assert len(list(path.parent.glob(".trees.*"))) == 2
        process.kill()
    assert len(list(path.parent.glob(".trees.*/page"))) == 1
    with PanelFile(path).whole(["a"]) as whole:
        assert list(path.parent.glob(".trees.*")) == [whole.cache]


def test_a_panel_without_rows_is_refused(path: Path) -> None:
    pq.write_table(panel().slice(0, 0), path)
    with pytest.raises(BadInput, match="holds no rows"):
        PanelFile(path)
