"""Which alarms are news. An alarm that goes on night after night is told once, and again when it persists.

What has been told is written down after it was told, in files of their own: a task that is killed in between tells it
once more when it is tried again, and nothing is left untold because a check had already recorded it.
"""

from contextlib import closing
from datetime import date
from itertools import takewhile
from pathlib import Path
from typing import Any

from churn_alerts import tell
from churn_past import of_the_past

from churn.io.checks import Checks, What
from churn.io.lake import Lake, write_json
from churn.settings import Settings


def drift_news(report: dict[str, Any]) -> list[Path]:
    """What there is to tell of a check of drift that is on record: that it begins, or that it persists.

    As the files to write once it has been told; none where one of them is there of a night of this episode.
    """
    if not report["alarm"]:
        return []
    stage = "drift_persists" if report["persists"] else "drift"
    nights = _nights_of_alarm("drift", report)[: report["nights"]]  # the check knows which gaps break a row
    return _untold(stage, report, nights)


def monitoring_news(report: dict[str, Any]) -> list[Path]:
    """The same of a look at the model: a degradation that begins, or an early warning."""
    alarms: dict[What, bool] = {"performance": report["degraded"], "early_warning": bool(report["early_warnings"])}
    return [
        path
        for what, alarm in alarms.items()
        if alarm
        for path in _untold(what, report, _nights_of_alarm(what, report))
    ]


def tell_news(news: list[Path], subject: str, report: dict[str, Any]) -> None:
    """Tell the summary of the report, where there is news, and then write down that it was told.

    Of a night of the past nothing is told; what goes on until the newest night is news there.
    """
    if not news or of_the_past(report["as_of"]):
        return
    tell(subject, report["summary"], as_of=report["as_of"])
    for path in news:
        write_json(path, {"subject": subject, "text": report["summary"]})


def _nights_of_alarm(what: What, report: dict[str, Any]) -> list[str]:
    """Those in a row that end with the report's, the newest first (ISO dates)."""
    with closing(Checks(Settings().score_database)) as checks:
        found = checks.all(what, until=date.fromisoformat(report["as_of"]))
    own = (check for check in found if check.model_version == report["model_version"])
    return [str(check.as_of) for check in takewhile(lambda check: check.alarm, own)]


def _untold(what: str, report: dict[str, Any], nights: list[str]) -> list[Path]:
    """The file that will say it was told tonight; none when it was told on any of these nights."""
    folder, name = Lake(Settings().data_home).reports / "alerts", f"{what}.version={report['model_version']}.json"
    if any((folder / f"as_of={night}" / name).is_file() for night in nights):
        return []
    return [folder / f"as_of={report['as_of']}" / name]
