"""What the records of each part come to, in Markdown. Intervals are 95 % and exact (Clopper and Pearson)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.decision_drift import NIGHTS, TRAINED, WITHIN
from benchmarks.decision_records import median_of, said_share
from benchmarks.decision_watch import WITHIN as WITHIN_WATCH
from benchmarks.drift_peers import ALARMS, TABLES
from benchmarks.results import _table as table

Found = Sequence[dict[str, Any]]
CLEARLY = 0.005
"""Share of the log loss from which one model is told from another: less is what another seed changes."""
TONIGHT = "_tonight"


def quiet_drift(found: Found) -> str:
    """Weeks with an alarm on any night."""
    rows = [["drift (wanted: at most 1 %)", *_weeks(found, "drift")]]
    named = Counter(name for record in found for names in record["drifted"].values() for name in names)
    return f"{table(['alarm', 'weeks', 'worlds'], rows)}\n\nNights by column: {dict(named) or 'none'}."


def quiet_peers(found: Found) -> str:
    """Likewise of fixed thresholds."""
    rows = [[alarm, *(_weeks(found, f"{alarm}, {tables}")[0] for tables in TABLES)] for alarm in ALARMS]
    return table(["alarm", *(f"weeks, features of {tables}" for tables in TABLES)], rows)


def quiet_watch(found: Found) -> str:
    """Likewise."""
    rung = Counter(which for record in found for names in record["ringing"].values() for which in names)
    rows = [["early warning", *_weeks(found, "alarms")]]
    return f"{table(['alarm', 'weeks', 'worlds'], rows)}\n\nNights by chart: {dict(rung) or 'none'}."


def quiet_degraded(found: Found) -> str:
    """Likewise; and how the ROC AUC went on, against the hold-out's."""
    rows = [["degraded", *_weeks(found, "alarms")]]
    lost = [sum(record["aucs"]) / len(record["aucs"]) - record["holdout"] for record in found]
    said = f"Mean ROC AUC of the nights less the hold-out's: {sum(lost) / len(lost):+.3f} over the worlds."
    return f"{table(['alarm', 'weeks', 'worlds'], rows)}\n\n{said}"


def renamed(found: Found) -> str:
    """By page."""
    pages = sorted({record["what"] for record in found})
    rows = [[page, *_delays([r for r in found if r["what"] == page], WITHIN)] for page in pages]
    rows.append(["all (wanted: at least 95 %)", *_delays(found, WITHIN)])
    rows.append(["all, by the features alone", *_delays(found, WITHIN, "delay_of_features")])
    return table(["page", f"detected within {WITHIN} nights", "median night"], rows)


def altered(found: Found) -> str:
    """By what was done, and the features on which it was missed."""
    runs = [run for record in found for run in record["runs"]]
    said = []
    for how in ("shifted", "missing"):
        of = [run for run in runs if run["how"] == how]
        missed = sorted({run["what"] for run in of if run["delay"] is None})
        said.append([f"{how} (wanted: at least 95 %)", *_delays(of, WITHIN), ", ".join(missed) or "none"])
        said.append([f"{how}, and the feature named", *_delays(of, WITHIN, "named"), ""])
    before = sum(bool(record["before"]) for record in found)
    heads = ["what", f"detected within {WITHIN} nights", "median night", "missed"]
    return f"{table(heads, said)}\n\nWorlds with an alarm before anything was altered: {before} of {len(found)}."


def price_rise(found: Found) -> str:
    """Delays, and false alarms before."""
    first = Counter(name for record in found for name in record["segments"])
    rows = [["early warning (wanted: at least 90 %)", *_delays(found, WITHIN_WATCH)]]
    heads = ["alarm", f"within {WITHIN_WATCH} nights", "median night"]
    return f"{table(heads, rows)}\n\nWhat rang on the first night: {dict(first)}."


def equal(found: Found) -> str:
    """Promotions among equals; who of them was worse by the truth."""
    trials = [trial for record in found for trial in record["trials"]]
    sides = {
        "promoted (wanted: at most 5 %)": trials,
        "truly worse challengers promoted": [t for t in trials if _gain(t) < 0],
        f"worse by more than {CLEARLY:.1%}": [t for t in trials if _gain(t) < -CLEARLY],
        f"better by more than {CLEARLY:.1%}": [t for t in trials if _gain(t) > CLEARLY],
    }
    rows = [[name, said_share(sum(t["full"] for t in of), len(of))] for name, of in sides.items()]
    return f"{table(['', 'trials'], rows)}\n\n{_against(trials)}"


def retrained(found: Found) -> str:
    """By week after the change: promoted, the true gain, and promotions that were truly worse."""
    weeks = sorted({int(week) for record in found for week in record})
    rows = []
    for week in weeks:
        of = [record[str(week)] for record in found]
        by_now = sum(any(r["promoted"] for w, r in record.items() if int(w) <= week) for record in found)
        yes = [r for r in of if r["promoted"]]
        rows.append([
            str(week), said_share(len(yes), len(of)), said_share(by_now, len(found)),
            f"{median_of([r['churned'] for r in of]):,.0f} of {median_of([r['rows'] for r in of]):,.0f}",
            *(f"{100 * median_of([_gain(r, when) for r in of]):+.1f} %" for when in ("", TONIGHT)),
            *(str(sum(_gain(r, when) < least for r in which)) for which in (of, yes)
              for when, least in (("", 0.0), (TONIGHT, 0.0), (TONIGHT, -CLEARLY))),
        ])  # fmt: skip
    counts = ("on the hold-out", "on the next night", f"there by more than {CLEARLY:.1%}")
    heads = [
        "weeks after", "promoted", "by this week or before", "left in the hold-out", "true gain in log loss",
        "on the next night", *(f"{who}, {where}" for who in ("truly worse", "promoted, worse") for where in counts),
    ]  # fmt: skip
    return f"{table(heads, rows)}\n\n{_against([r for record in found for r in record.values()])}"


def _gain(record: dict[str, Any], when: str = "") -> float:
    """The challenger's true gain in expected log loss, as a share of the champion's."""
    return float(1 - record[f"new{when}"] / record[f"old{when}"])


def _weeks(found: Found, what: str) -> tuple[str, str]:
    """Weeks, and worlds, with at least one night of it."""
    weeks = [{(int(night) - TRAINED) // 7 for night in record[what] if int(night) in NIGHTS} for record in found]
    return (
        said_share(sum(map(len, weeks)), len(found) * (len(NIGHTS) // 7)),
        said_share(sum(map(bool, weeks)), len(found)),
    )


def _delays(found: Found, within: int, name: str = "delay") -> tuple[str, str]:
    delays = [record[name] for record in found]
    there = [d for d in delays if d is not None]
    return said_share(sum(d <= within for d in there), len(delays)), f"{median_of(there)}" if there else ""


def _against(found: Iterable[dict[str, Any]]) -> str:
    noes = Counter(name for record in found for name in record["against"])
    return f"What was not met, by criterion: {dict(noes.most_common())}."
