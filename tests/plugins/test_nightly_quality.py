"""What ingestion and the validation of features keep of each day, and how the console shows it: with the real steps."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from churn.core.features import FEATURES
from churn.errors import ContractViolation
from churn.io.kept_reports import KeptReports
from churn.io.lake import Lake, write_parquet
from churn.settings import Settings
from churn.steps.ingest import ingest
from churn.steps.validate_features import validate_features
from tests.raw_log import raw_row, write_json_lines


def shown(client: Any, tokens: dict[str, str], query: str = "") -> str:
    answer = client.get(f"/churn/quality{query}", headers={"Authorization": f"Bearer {tokens['viewer']}"})
    assert answer.status_code == 200
    return str(answer.text)


def test_every_ingestion_of_a_day_is_kept_and_shown(
    client: Any, tokens: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    good = write_json_lines(tmp_path / "good.json", [raw_row(i) for i in range(40)])
    odd = write_json_lines(tmp_path / "odd.json", [raw_row(i, page="Teleport" if i < 3 else "Home") for i in range(40)])
    bad = write_json_lines(tmp_path / "bad.json", [raw_row(i, page="Teleport") for i in range(40)])
    first = ingest(settings, [good])
    today = datetime.now(UTC).date()
    ingest(settings, [odd, bad])
    ingest(settings, [good, odd])  # nothing new: no ingestion of its own
    kept = KeptReports.of(settings.data_home).ingestions(today)
    assert [(k["files"], k["read"], k["accepted"], k["quarantined"]) for k in kept] == [(1, 40, 40, 0), (2, 40, 37, 3)]
    assert first.accepted == 40
    assert kept[1]["broken_rules"] == {"page is known to the contract": 3}
    assert len(kept[1]["rejected"]) == 1
    page = shown(client, tokens, f"?until={today}&night={today}")
    assert page.count("<strong>Came in") == 2
    assert "Refused whole: bad.json" in page
    assert "37 accepted + 0 set aside + 3 quarantined" in page
    assert "✗ not met" in page


@pytest.mark.parametrize(
    "damaged", [b"{", b"[]", b'{"ingestions": null}', b'{"ingestions": [{}]}', b'{"ingestions": [5]}', b"\xff"]
)
def test_a_day_whose_report_was_damaged_takes_new_ingestions_all_the_same(
    settings: Settings, tmp_path: Path, damaged: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    kept, today = KeptReports.of(settings.data_home), datetime.now(UTC).date()
    kept.ingestions_path(today).parent.mkdir(parents=True)
    kept.ingestions_path(today).write_bytes(damaged)
    ingest(settings, [write_json_lines(tmp_path / "log.json", [raw_row(i) for i in range(5)])])
    assert [k["read"] for k in kept.ingestions(today)] == [5]
    assert "is not shown any more" in caplog.text


def test_a_night_whose_features_are_not_fit_is_shown_with_the_rule_and_how_many_break_it(
    client: Any, tokens: dict[str, str], settings: Settings
) -> None:
    day = datetime.now(UTC).date()
    table = pa.table(
        {"customer_id": [f"c{i}" for i in range(20)]}
        | {f.name: np.full(20, max(f.minimum, min(f.maximum, f.example))) for f in FEATURES}
    )
    place = table.schema.get_field_index("thumbs_up_ratio")
    table = table.set_column(place, "thumbs_up_ratio", pa.array([-5.0] * 3 + [0.1] * 17))
    write_parquet(Lake(settings.data_home).features(day), table)
    with pytest.raises(ContractViolation, match="thumbs_up_ratio"):
        validate_features(settings, day)
    page = shown(client, tokens)
    assert "131 of 132 expectations met on 20 rows" in page
    assert "thumbs_up_ratio is between 0 and" in page
    assert "15.00%" in page
