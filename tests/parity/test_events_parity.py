"""Train and serve alike: a customer's raw events give the features and the score that the nightly run gives."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

from churn.core.features import FEATURE_NAMES
from churn.io.contracts import load_contract
from churn.io.lake import Lake
from churn.io.live_features import LiveReader
from churn.io.point_in_time import features_at
from churn.io.registry import Models
from churn.settings import Settings
from churn.steps.ingest import ingest
from churn.steps.simulate import simulate
from tests.raw_log import write_json_lines
from tests.serving.conftest import client, first_models, served

START = date(2026, 3, 1)
DAYS = 40
CUTOFFS = (START + timedelta(days=20), START + timedelta(days=35))

__all__ = ["client", "first_models", "served"]  # fixtures


@dataclass(frozen=True)
class Log:
    """A log as it lies on the disk, and the lake that the real ingestion made of it."""

    lake: Lake
    lines: dict[str, list[str]]
    """The lines of each customer, files in order, as they are written; of nobody under the empty id."""
    contract: str = "sparkify"

    def nightly(self, as_of: date) -> pd.DataFrame:
        """Features of the nightly run, by customer."""
        return features_at(self.lake, as_of).to_pandas().set_index("customer_id")


def the_log(folder: Path, customers: int) -> Log:
    raw = folder / "raw"
    simulate(raw, customers=customers, days=DAYS, seed=5, start=START)
    for number, file in enumerate(sorted(raw.glob("*.json.gz"))):
        if number % 4 == 0:  # true repetitions: the same row several times in one file
            lines = gzip.decompress(file.read_bytes()).decode().splitlines()
            write_json_lines(file, [*lines, *lines[::40], *lines[::80]])
    report = ingest(Settings(home=folder / "home", _env_file=None), [raw])  # type: ignore[call-arg]
    assert report.quarantined == 0 and report.set_aside > 0 and not report.rejected_files
    found: dict[str, list[str]] = {}
    for file in sorted(raw.glob("*.json.gz")):
        for line in gzip.decompress(file.read_bytes()).decode().splitlines():
            found.setdefault(json.loads(line)["userId"] or "", []).append(line)
    return Log(Lake(folder / "home"), found)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return the_log(tmp_path_factory.mktemp("small"), customers=60)


@pytest.fixture(scope="module")
def reader() -> Iterator[LiveReader]:
    reader = LiveReader(load_contract("sparkify"))
    yield reader
    reader.close()


def compare(log: Log, reader: LiveReader, models: Models, as_of: date) -> int:
    """How many customers there are: each has the nightly run's features and scores, bit for bit."""
    nightly = log.nightly(as_of)
    visitors = log.lines[""][:5]
    found = [reader.features([*visitors, *log.lines[customer]], as_of) for customer in nightly.index]
    assert [f.customer_id for f in found] == list(nightly.index)
    assert {f.without_customer for f in found} == {5}
    assert sum(f.after_cutoff for f in found) > len(found)
    assert all(f.read == f.used + f.without_customer + f.after_cutoff for f in found)
    live = np.array([f.features for f in found])
    assert (live.view(np.int64) == np.ascontiguousarray(nightly[list(FEATURE_NAMES)].to_numpy()).view(np.int64)).all()
    scores = models.full.predict_proba(nightly)
    alone = np.array([models.full.predict_proba(row.reshape(1, -1))[0] for row in live])
    np.testing.assert_allclose(alone, scores, rtol=0, atol=1e-9)
    assert (alone == scores).all()
    return len(found)


def test_the_log_holds_what_is_hard_to_count(small: Log) -> None:
    """Sessions over midnight, plans that change inside a session, repetitions, visitors, the time after the cut-off."""
    rows = pd.DataFrame([json.loads(line) for lines in small.lines.values() for line in lines])
    rows["day"] = rows["ts"] // 86_400_000
    known = rows[rows["userId"].fillna("") != ""]
    sessions = known.groupby("sessionId")
    assert (sessions["day"].nunique() > 1).sum() > 3
    assert (sessions["level"].nunique() > 1).sum() > 3
    assert known.duplicated().sum() > 50
    assert len(small.lines[""]) > 5


@pytest.mark.parametrize("as_of", CUTOFFS)
def test_raw_events_give_the_nightly_features_and_scores(
    small: Log, reader: LiveReader, first_models: Models, as_of: date
) -> None:
    assert compare(small, reader, first_models, as_of) > 30


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_thousand_customers_have_the_nightly_features_and_scores(
    tmp_path: Path, reader: LiveReader, first_models: Models
) -> None:
    assert compare(the_log(tmp_path, customers=1400), reader, first_models, CUTOFFS[1]) >= 1000


def test_the_api_gives_the_nightly_features_and_scores(small: Log, client: httpx.Client, first_models: Models) -> None:
    as_of = CUTOFFS[1]
    nightly = small.nightly(as_of).head(36)
    scores = first_models.full.predict_proba(nightly)
    for (customer, row), score in zip(nightly.iterrows(), scores, strict=True):
        events = [json.loads(line) for line in small.lines[str(customer)]]
        answer = client.post("/api/churn/predict/events", json={"as_of": str(as_of), "events": events})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert (body["customer_id"], body["as_of"], body["model"]) == (customer, str(as_of), "full")
        assert body["features"] == row[list(FEATURE_NAMES)].to_dict()
        assert body["churn_probability"] == score
        assert body["churn_prediction"] == int(score >= first_models.full.threshold)
        assert body["events"]["used"] + body["events"]["after_cutoff"] == body["events"]["read"] == len(events)


def test_an_event_at_or_after_the_cut_off_changes_no_bit(small: Log, reader: LiveReader) -> None:
    as_of = CUTOFFS[0]
    for customer in small.nightly(as_of).index[:20]:
        lines = small.lines[customer]
        midnight = int(pd.Timestamp(as_of, tz="UTC").timestamp() * 1000)
        before = [line for line in lines if json.loads(line)["ts"] < midnight]
        later = json.loads(lines[-1]) | {"ts": midnight, "userId": "somebody else", "page": "unheard of", "level": None}
        known, all_of_it = reader.features(before, as_of), reader.features([*lines, json.dumps(later)], as_of)
        assert known.features.tobytes() == all_of_it.features.tobytes()
        assert all_of_it.after_cutoff == len(lines) - len(before) + 1
        assert (known.used, known.customer_id) == (all_of_it.used, customer)


def test_purchases_give_the_nightly_features(tmp_path: Path, first_models: Models) -> None:
    """Another contract: dates, sessions by the day, one kind, one plan, a customer who churns by staying away."""
    random = np.random.default_rng(3)
    rows = [
        {"customer_id": f"{n % 20:05d}", "date": str(date(2025, 1, 1) + timedelta(days=int(day))), "dollar_value": paid}
        for n, (day, paid) in enumerate(zip(random.integers(0, 120, 600), random.gamma(2, 10, 600), strict=True))
    ]
    write_json_lines(tmp_path / "raw" / "sales.json", rows)
    settings = Settings(home=tmp_path / "home", contract="transactions", _env_file=None)  # type: ignore[call-arg]
    assert ingest(settings, [tmp_path / "raw"]).accepted == 600
    as_of = date(2025, 4, 1)
    nightly = features_at(Lake(tmp_path / "home"), as_of).to_pandas().set_index("customer_id")
    reader = LiveReader(load_contract("transactions"))
    for customer, row in nightly.iterrows():
        live = reader.features([json.dumps(r) for r in rows if r["customer_id"] == customer], as_of)
        assert live.features.tolist() == row[list(FEATURE_NAMES)].tolist()
    reader.close()
    assert len(nightly) == 20
