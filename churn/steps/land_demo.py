"""Play the part of a source: land a generated log when there is no real one, and each day's file once it is over."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

from churn.errors import BadInput
from churn.io.lake import Lake, write_json
from churn.io.raw import TRUTH, raw_paths
from churn.settings import Settings
from churn.steps.simulate import day_file, simulate

DEMO = ".demo.json"
"""What the demo log in the landing folder is made from. Hidden, so that ingestion does not take it for a raw file."""

DEMO_TRUTH = Path("demo") / TRUTH
"""Where the data home keeps the demo's true hazards."""


@dataclass(frozen=True)
class DemoReport:
    """What was landed by this call, and the first and last day of the demo log (ISO dates)."""

    active: bool
    """False: there is a real log, or the demo is switched off."""
    reason: str
    landed_files: int = 0
    landed_events: int = 0
    start: str | None = None
    end: str | None = None


@dataclass(frozen=True)
class _Demo:
    """The log's parameters, and the last day that was ever to be landed."""

    customers: int
    seed: int
    start: date
    end: date

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1

    def until(self, as_of: date) -> "_Demo":
        """Extended to the day before ``as_of``; never shortened."""
        return _Demo(self.customers, self.seed, self.start, max(self.end, as_of - timedelta(days=1)))


def land_demo(settings: Settings, as_of: date, progress: Callable[[str], None] = lambda _: None) -> DemoReport:
    """Land every day of the demo log before ``as_of`` that is not there. A real log is never touched nor added to.

    The log begins ``settings.demo_days`` before the first ``as_of``; then its own record decides, not the settings.
    The truth goes to ``demo/truth.parquet`` in the data home. Raises BadInput when the record is broken.
    """
    landing = settings.landing_dir
    if not settings.demo:
        return DemoReport(False, "the demo is switched off (CHURN_DEMO)")
    with Lake(settings.data_home).lock("land_demo"):
        there = set(raw_paths([landing])) if landing.is_dir() else set[Path]()
        demo = _read(landing / DEMO)
        if demo is None and settings.landing is not None:
            return DemoReport(False, f"{landing} was set as the landing folder (CHURN_LANDING) and holds no demo log")
        if demo is None and Lake(settings.data_home).event_days():
            return DemoReport(False, f"{settings.data_home} holds the events of a real log")
        known = demo or _begin(settings, as_of)
        own = demo_files(landing)
        if foreign := sorted(there - own):
            advice = f"delete {DEMO} and the demo's files, or the two logs mix" if demo else "the real log is used"
            return DemoReport(False, f"{landing} holds files that are not the demo's ({_some(foreign)}): {advice}")
        return _land(settings, known.until(as_of), as_of, there, progress)


def demo_files(folder: Path) -> set[Path]:
    """The files that are the demo's own, by the record in the folder; none without one."""
    demo = _read(folder / DEMO)
    return {folder / day_file(demo.start, day) for day in range(demo.days)} if demo else set()


def refuse_mixture(settings: Settings, paths: Iterable[Path]) -> None:
    """Raise BadInput when these are real logs and the data home holds generated customers: no number would be true."""
    if not ((settings.data_home / DEMO_TRUTH).is_file() and Lake(settings.data_home).event_days()):
        return
    paths = list(paths)
    own = {file for folder in {p.parent for p in paths} for file in demo_files(folder)}
    if foreign := sorted(set(paths) - own):
        raise BadInput(
            f"{settings.data_home} holds the generated demo log, and {_some(foreign)} is not of it: mixed, no number "
            "would be true. Give the real log an empty data home (CHURN_HOME=…), or remove this one"
        )


def _land(
    settings: Settings, demo: _Demo, as_of: date, there: set[Path], progress: Callable[[str], None]
) -> DemoReport:
    """Write the days before ``as_of`` that are not there."""
    landing, truth = settings.landing_dir, settings.data_home / DEMO_TRUTH
    over = min(demo.days, max((as_of - demo.start).days, 0))
    missing = [day for day in range(over) if landing / day_file(demo.start, day) not in there]
    start, end = str(demo.start), str(demo.end)
    if not missing and truth.is_file():
        return DemoReport(True, f"all days before {as_of} are there", start=start, end=end)
    # First: what a killed run has landed must be known as the demo's own.
    write_json(landing / DEMO, asdict(demo))
    report = simulate(
        landing, customers=demo.customers, days=demo.days, seed=demo.seed, start=demo.start,
        only=missing, truth=truth, progress=progress,
    )  # fmt: skip
    return DemoReport(True, f"landed {report.files} days", report.files, report.events, start, end)


def _begin(settings: Settings, as_of: date) -> _Demo:
    start = as_of - timedelta(days=settings.demo_days)
    return _Demo(settings.demo_customers, settings.demo_seed, start, as_of - timedelta(days=1))


def _read(path: Path) -> _Demo | None:
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text())
        start, end = date.fromisoformat(record["start"]), date.fromisoformat(record["end"])
        return _Demo(int(record["customers"]), int(record["seed"]), start, end)
    except (ValueError, KeyError, TypeError) as e:
        raise BadInput(
            f"{path} is not the record of a demo log ({e}): delete it together with the demo's files to begin a new one"
        ) from e


def _some(files: list[Path]) -> str:
    shown = ", ".join(f.name for f in files[:3])
    return shown if len(files) <= 3 else f"{shown} and {len(files) - 3} more"
