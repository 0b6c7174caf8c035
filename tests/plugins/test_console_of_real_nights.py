"""The console on what the real steps leave behind: its pages know every record as it is written."""

from contextlib import closing
from datetime import date, timedelta
from typing import Any

import pytest

from churn.core.features import FEATURES
from churn.io.ledger import Ledger
from churn.settings import Settings
from churn.steps.check_drift import check_drift
from churn.steps.compare import compare
from churn.steps.ingest import ingest
from churn.steps.monitor import monitor
from churn.steps.score import score
from churn.steps.simulate import simulate
from churn.steps.train import train
from tests.weak_champion import put_weak_champion

pytestmark = pytest.mark.slow
AS_OF, LATER = date(2026, 3, 1), date(2026, 3, 15)


def test_every_record_of_the_real_steps_is_shown(client: Any, tokens: dict[str, str], settings: Settings) -> None:
    log = settings.data_home / "log"
    simulate(log, customers=800, days=94, seed=5, start=LATER - timedelta(days=94))
    ingest(settings, [log])
    champion = put_weak_champion(settings, AS_OF)
    for day in (AS_OF, LATER):
        score(settings, day)
        check_drift(settings, day)
        monitor(settings, day)
    challenger = train(settings, LATER).model_version
    decision = compare(settings, challenger)
    with closing(Ledger(settings.score_database)) as ledger:
        assert [e.what for e in ledger.recent(2)] == ["gate", "found"]

    def page(name: str) -> str:
        answer = client.get(f"/churn/{name}", headers={"Authorization": f"Bearer {tokens['op']}"})
        assert answer.status_code == 200
        assert "cannot be shown" not in answer.text
        assert "unreadable" not in answer.text
        return str(answer.text)

    shown = page("")
    assert shown.count('<th scope="row">') == 15
    assert shown.count("no scores") == 13
    assert f"Version {champion.version}" in shown
    shown = page("model")
    assert f"Version {champion.version} is in production" in shown
    assert decision.evidence_sha256[:10] in shown
    assert "on file as it was decided" in shown
    for criterion in ("log loss", "ROC AUC", "profit per customer", "log loss of the core model"):
        assert f'<th scope="row">{criterion}</th>' in shown
    shown = page("drift")
    assert sum(f'<th scope="row">{f.name}</th>' in shown for f in FEATURES) == len(FEATURES)
    shown = page("performance")
    assert f"as of {LATER}" in shown
    assert "Do 10 % mean 10 %?" in shown
    assert shown.count("<circle") >= 4 + 5
    assert f"{2 * len(FEATURES) + 4} of {2 * len(FEATURES) + 4} expectations met" in page(f"quality?night={LATER}")
    for report in (f"drift/{LATER}", f"monitoring/{LATER}", f"decision/{challenger}"):
        assert "<h1" in page(f"reports/{report}")
