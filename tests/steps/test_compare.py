"""The gate through its step: hand-made models in a real registry, a hand-made hold-out, and what is written down."""

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from churn.core.calibration import Calibration
from churn.core.curves import Curve, Curves
from churn.core.events import DAY_MS
from churn.core.evidence import evidence_hash
from churn.core.features import CORE_FEATURES, FEATURE_NAMES
from churn.core.model import CORE, FULL, ChurnModel, ModelCard
from churn.io.lake import Lake, fingerprint, write_parquet
from churn.io.ledger import Ledger
from churn.io.registry import Candidate, Registry
from churn.io.scorebook import ScoreBook
from churn.settings import Settings
from churn.steps.compare import CompareReport, compare, decision_path
from tests.core.feature_rows import EVENT_SCHEMA, event

AS_OF, HOLDOUT = date(2026, 3, 1), date(2026, 2, 15)
N = 1200
TELLS = CORE_FEATURES[3].name
"""The feature that the probability of leaving depends on."""
CORE_NAMES = tuple(f.name for f in CORE_FEATURES)
WEAK, BETTER, PAYING, CHEAPER, UNKNOWN = "12345"


def truth(table: pd.DataFrame) -> Any:
    return 1 / (1 + np.exp(-(-4.0 + 1.5 * np.log1p(table[TELLS]))))


def model(features: tuple[str, ...], slope: float, threshold: float = 0.33) -> ChurnModel:
    """log-odds = level + slope · log(1 + the feature that tells): right with a slope of 1.5."""
    flat = Curve((), (), 0.0)
    curves = tuple(Curve((0.0, 10.0), (0.0, 10 * slope), 0.0) if name == TELLS else flat for name in features)
    card = ModelCard(
        features, threshold, "logistic", {}, {}, 100, 100, 0.1, {}, {}, dict.fromkeys(features, 0.0), 42
    )  # fmt: skip
    level = {1.5: -4.0, 0.0: -2.2}.get(slope, -2.2)
    return ChurnModel(Calibration(level, (1.0,)), Curves(0.0, curves), None, card)


@dataclass(frozen=True)
class Prepared:
    """A data home with a hold-out of N customers and five versions, none of them moved."""

    home: Path
    table: pd.DataFrame

    def copy(self, home: Path) -> Settings:
        (home / "mlflow").mkdir(parents=True)
        shutil.copy(self.home / "mlflow" / "mlflow.db", home / "mlflow" / "mlflow.db")
        shutil.copytree(self.home / "panels", home / "panels")
        return Settings(home=home, mlflow_tracking_uri=None, _env_file=None)  # type: ignore[call-arg]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, empty_mlflow: Path) -> Iterator[Prepared]:
    home = tmp_path_factory.mktemp("compared")
    (home / "mlflow").mkdir()
    (home / "files").mkdir()
    shutil.copy(empty_mlflow, home / "mlflow" / "mlflow.db")
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.uniform(0, 9, (N, len(FEATURE_NAMES))), columns=list(FEATURE_NAMES))
    table["is_paid_user"] = (rng.random(N) < 0.5).astype(float)
    table["days_since_registration"] = rng.uniform(0, 120, N)
    churned = (rng.random(N) < truth(table)).astype(int)
    panel = table.assign(as_of=HOLDOUT, churned=churned, customer_id=[f"c{i:04}" for i in range(N)])
    settings = Settings(home=home, mlflow_tracking_uri=None, _env_file=None)  # type: ignore[call-arg]
    path = Lake(settings.data_home).panel(AS_OF)
    write_parquet(path, pa.Table.from_pandas(panel, preserve_index=False))
    tags = {
        "as_of": str(AS_OF), "holdout_snapshot": str(HOLDOUT), "contract": "sparkify", "horizon_days": "14",
        "panel_sha256": fingerprint(path),
    }  # fmt: skip
    weak, right = ({CORE: model(CORE_NAMES, s), FULL: model(FEATURE_NAMES, s)} for s in (0.0, 1.5))
    cheaper = {name: model(m.features, 0.0, 0.05) for name, m in weak.items()}
    unknown = {CORE: right[CORE], FULL: model((*FEATURE_NAMES, "made_up"), 1.5)}
    paying = {CORE: model(CORE_NAMES, -0.5), FULL: right[FULL]}
    for number, models in enumerate((weak, right, paying, cheaper, unknown)):
        example = pd.DataFrame([[1.0] * len(models[FULL].features)], columns=list(models[FULL].features))
        candidate = Candidate(models, "a training", "words", str(number), {}, {}, tags, home / "files", example)
        Registry(settings).register(candidate)
    yield Prepared(home, panel)


@pytest.fixture
def ready(prepared: Prepared, tmp_path: Path) -> Settings:
    """The weak one is in production."""
    settings = prepared.copy(tmp_path / "home")
    produce(settings, WEAK)
    return settings


def produce(settings: Settings, version: str) -> None:
    registry = Registry(settings)
    registry.promote(registry.version(version), "a test")


def on_file(settings: Settings, version: str) -> Any:
    return json.loads(decision_path(Lake(settings.data_home), version).read_text())


def said(report: CompareReport) -> str:
    return "; ".join(report.reasons)


def test_a_better_challenger_is_let_through_and_all_of_it_is_written_down(ready: Settings, tmp_path: Path) -> None:
    report = compare(ready, BETTER)
    assert report.promote is True
    assert report.reasons[0].startswith("log loss 0.")
    assert set(report.evidence) >= {"holdout", "behaviour", "criteria", "segments", "core", "live", "policy"}
    assert set(report.evidence["segments"]) == {"plan", "tenure"}
    assert all(check["passed"] for checks in report.evidence["behaviour"].values() for check in checks)

    kept = on_file(ready, BETTER)
    assert kept == json.loads(json.dumps(asdict(report)))
    assert kept["evidence_sha256"] == report.evidence_sha256 == evidence_hash(kept)
    assert report.report is not None
    page = Path(report.report).read_text()
    assert report.evidence_sha256 in page
    assert "Promote version 2 in place of version 1" in page
    registry = Registry(ready)
    attached = registry.attachment(registry.version(BETTER), "decision", tmp_path / "attached")
    assert attached is not None
    assert (attached / "decision.html").read_text() == page
    assert json.loads((attached / "decision.json").read_text()) == kept


def test_comparing_again_gives_the_same_evidence_and_one_row_of_the_ledger(ready: Settings) -> None:
    first = compare(ready, BETTER)
    before = decision_path(Lake(ready.data_home), BETTER).read_bytes()
    assert compare(ready, BETTER) == first
    assert decision_path(Lake(ready.data_home), BETTER).read_bytes() == before
    with closing(Ledger(ready.score_database)) as ledger:
        (entry,) = ledger.entries("gate")
    assert (entry.version, entry.from_version, entry.evidence_sha256) == (BETTER, WEAK, first.evidence_sha256)
    assert entry.why.startswith("yes: log loss")


def test_the_summary_says_verdict_figures_and_hash_in_forty_lines(ready: Settings) -> None:
    report = compare(ready, BETTER)
    lines = report.summary.splitlines()
    assert len(lines) <= 40
    assert lines[0] == "## Promote version 2 in place of version 1"
    assert any(line.startswith("| log loss |") and line.endswith("| ✓ |") for line in lines)
    assert report.evidence_sha256 in lines[-1]


def test_a_worse_challenger_is_refused(ready: Settings) -> None:
    produce(ready, BETTER)
    report = compare(ready, WEAK)
    assert (report.champion, report.promote) == (BETTER, False)
    assert report.reasons[0].startswith("log loss")
    assert on_file(ready, WEAK)["promote"] is False
    assert "Keep version 2" in report.summary
    with closing(Ledger(ready.score_database)) as ledger:
        assert ledger.entries("gate")[0].why.startswith("no: ")


def test_a_core_model_that_pays_for_the_full_one_speaks_against(ready: Settings) -> None:
    report = compare(ready, PAYING)
    assert report.promote is False
    assert report.evidence["criteria"]["log_loss"]["passed"]
    assert report.reasons[0].startswith("log loss of the core model")
    assert report.evidence["core"]["promote"] is False


def test_other_business_figures_move_the_threshold(ready: Settings) -> None:
    report = compare(ready, CHEAPER)
    assert report.promote is True
    assert "threshold from 0.33 to 0.05" in said(report)
    assert report.evidence["behaviour"]


def test_a_model_that_takes_what_the_code_does_not_build_is_refused(ready: Settings) -> None:
    report = compare(ready, UNKNOWN)
    assert report.promote is False
    assert "takes ['made_up'], which this code does not build" in said(report)
    assert "latency: not checked" in said(report)


def test_the_first_model_needs_no_comparison_but_has_to_behave(prepared: Prepared, tmp_path: Path) -> None:
    settings = prepared.copy(tmp_path / "home")
    report = compare(settings, WEAK)
    assert (report.promote, report.champion, report.evidence["first"]) == (True, None, True)
    assert report.evidence["behaviour"]
    assert compare(settings, UNKNOWN).promote is False


def test_a_version_that_was_rolled_back_from_is_refused(ready: Settings) -> None:
    with closing(Ledger(ready.score_database)) as ledger:
        for what, old, new in (("promotion", WEAK, BETTER), ("rollback", BETTER, WEAK)):
            ledger.append(what, key=what, who="ann", why="complaints", version=new, from_version=old, to_version=new)  # type: ignore[arg-type]
    report = compare(ready, BETTER)
    assert report.promote is False
    assert "rolled back from" in said(report)
    assert "by ann: complaints" in said(report)


def test_a_panel_that_is_gone_is_no_evidence(ready: Settings) -> None:
    Lake(ready.data_home).panel(AS_OF).unlink()
    report = compare(ready, BETTER)
    assert report.promote is False
    assert "gone or has changed" in said(report)
    assert Path(report.report or "").is_file()


def test_without_shadow_nights_the_evidence_says_so(ready: Settings) -> None:
    live = compare(ready, BETTER).evidence["live"]
    assert (live["promote"], live["nights"]) == (True, [])
    assert "the challenger has no past nights yet" in live["reasons"][0]


def publish_night(settings: Settings, prepared: Prepared, night: date, shadow: Any) -> None:
    """The champion's and the challenger's scores of a night for everybody."""
    names = prepared.table["customer_id"].tolist()
    weak = model(FEATURE_NAMES, 0.0).predict_proba(prepared.table)
    with closing(ScoreBook(settings.score_database)) as book:
        for version, p, beside in ((WEAK, weak, False), (BETTER, shadow, True)):
            book.publish(night, version, names, p, (p > 0.33).astype(int), threshold=0.33, shadow=beside)


def log_outcomes(settings: Settings, prepared: Prepared, first: date) -> None:
    """A log of 30 days in which who left of the hold-out cancels on the third; the others play on."""
    lake, ms = Lake(settings.data_home), (first - date(1970, 1, 1)).days * DAY_MS
    names, churned = prepared.table["customer_id"], prepared.table["churned"]
    kinds = {
        0: [event(name, ms + 1000) for name in names],
        2: [event(name, ms + 2 * DAY_MS, "cancel") for name in names[churned == 1]],
        **{day: [event(name, ms + day * DAY_MS + 1000) for name in names[churned == 0]] for day in (14, 29)},
    }
    for day, rows in kinds.items():
        table = pa.Table.from_pylist(rows, schema=EVENT_SCHEMA)
        write_parquet(lake.event_partition(first + timedelta(days=day)), table)


def test_past_nights_that_went_badly_stop_a_challenger_that_the_hold_out_favours(
    ready: Settings, prepared: Prepared
) -> None:
    night = AS_OF + timedelta(days=1)
    right = model(FEATURE_NAMES, 1.5).predict_proba(prepared.table)
    log_outcomes(ready, prepared, AS_OF)
    publish_night(ready, prepared, night, 1 - right)
    waiting = compare(ready, BETTER)
    assert waiting.promote is True  # no horizon has passed by the newest night: the log's later days are not read
    assert waiting.evidence["live"]["nights"] == []
    assert "no night that both scored has outcomes yet; 1 wait" in "; ".join(waiting.evidence["live"]["reasons"])

    publish_night(ready, prepared, night + timedelta(days=14), 1 - right)
    report = compare(ready, BETTER)
    assert report.promote is False
    assert report.reasons[0].startswith("log loss on past nights")
    assert report.evidence["live"]["nights"] == [str(night)]

    publish_night(ready, prepared, night, right)
    again = compare(ready, BETTER)
    assert again.promote is True
    assert again.evidence["live"]["criteria"]["log_loss"]["difference"]["high"] < 0
    assert len({r.evidence_sha256 for r in (waiting, report, again)}) == 3


def test_past_nights_are_judged_over_the_horizon_of_the_versions_whatever_the_settings_say(
    ready: Settings, prepared: Prepared
) -> None:
    log_outcomes(ready, prepared, AS_OF)
    for days in (1, 15):
        publish_night(ready, prepared, AS_OF + timedelta(days=days), truth(prepared.table).to_numpy())
    live, elsewhere = (
        compare(s, BETTER).evidence["live"] for s in (ready, ready.model_copy(update={"horizon_days": 1}))
    )
    assert live["nights"] == [str(AS_OF + timedelta(days=1))]
    assert elsewhere == live


def test_a_night_with_other_customers_than_the_champions_is_compared_on_those_of_both(
    ready: Settings, prepared: Prepared
) -> None:
    night = AS_OF + timedelta(days=1)
    log_outcomes(ready, prepared, AS_OF)
    publish_night(ready, prepared, night, truth(prepared.table).to_numpy())
    publish_night(ready, prepared, night + timedelta(days=14), truth(prepared.table).to_numpy())
    some = prepared.table.head(900)
    p, names = truth(some).to_numpy(), some["customer_id"].tolist()
    with closing(ScoreBook(ready.score_database)) as book:
        book.publish(night, BETTER, names, p, (p > 0.33).astype(int), threshold=0.33, shadow=True)
    assert compare(ready, BETTER).evidence["live"]["customers"] == 900


def test_the_page_says_all_and_asks_for_nothing_from_outside(ready: Settings) -> None:
    yes, no = compare(ready, BETTER), compare(ready, PAYING)
    for report in (yes, no):
        page = Path(report.report or "").read_text()
        assert "http" not in page
        assert page.count("<svg") >= 3
        assert "Behaviour of the core model" in page
    from churn.io.gate_report import gate_html

    odd = replace(no, reasons=("<b>bold</b>",))
    assert "<b>bold" not in gate_html(asdict(odd), name="churn")
