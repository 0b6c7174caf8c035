"""The core features of one log by this project and its peers: the same partitions and values, a process each."""

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import scale_features
from benchmarks.peer_environment import PANDAS, POLARS, NoPeer, environment, spark_interpreter
from benchmarks.scale_data import AS_OF, Log, Say, linked
from benchmarks.scale_data import environment as settings_of
from benchmarks.scale_features import SNAPSHOTS, FeatureFigures, Ratio
from benchmarks.scale_process import Cost, Failed, best, measured, median_seconds
from benchmarks.scale_table import (
    Found,
    Target,
    at_most,
    at_most_both,
    none_measured,
    not_measured,
    runs,
    said_both,
    table,
    told,
)
from churn.core.features import CORE_FEATURES, FEATURES, Feature
from churn.settings import REPOSITORY

PLAIN, OWN, OWN_SPARK = "plain SQL on DuckDB", "this project, one statement", "this project on Spark, local[2]"
_LONG_SECONDS = 40.0
"""Whoever took longer is not measured again."""
IDENTICAL, _UNKNOWN = "identical", "not compared: there are none of this project"
_ALL = len(FEATURES)
_OWN = (
    (f"features: all {_ALL} / plain SQL of 13", ""),
    (f"features: all {_ALL} / plain SQL of the same", "≤ 1.2"),
    (f"features, all {_ALL}: memory", "≤ 1,000 MB"),
    (f"{SNAPSHOTS} cut-offs / {SNAPSHOTS} passes", "≤ 0.35"),
    (f"{SNAPSHOTS} cut-offs with labels / {SNAPSHOTS} passes", ""),
    ("features of one more night / full rebuild, the cheaper one", "≤ 0.1"),
    ("the same / rebuild that keeps what nights need", ""),
    ("the same / rebuild that keeps nothing", ""),
)
_SAME = (f"DuckDB against Spark: values of all {_ALL} features", "identical")
_CORE = ("features: 13 / plain SQL of the same", "≤ 1.2")
WANTED = (*_OWN, _SAME, _CORE)


@dataclass(frozen=True)
class Way:
    """Somebody who computes features: the command, and who runs it."""

    name: str
    command: Callable[[], Sequence[str]]
    """Without what it reads, writes and the cut-offs. Raises NoPeer."""
    settings: Callable[[], Mapping[str, str]] = dict
    once: bool = False
    """It takes long: one run has to do."""


@dataclass(frozen=True)
class Result:
    """What came of it."""

    costs: Sequence[Cost]
    values: str
    """How its values stand to this project's; empty: there is nothing to compare."""


def measure(log: Log, work: Path, repeats: int, snapshots: Sequence[int], say: Say) -> Found:
    """Of one and of several cut-offs: (1, 8)."""
    folder, last = work / "features", AS_OF - timedelta(days=1)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    say("this project's features, from the events, night by night and of several cut-offs")
    targets, own = _own_part(linked(log.home, folder / "own"), last, repeats)
    home = linked(log.home, folder / "home", kept=False)
    today = [(last - date(1970, 1, 1)).days]
    engines = {
        way.name: result_of(way, home, folder, today, 1, say, FEATURES) for way in (own_way(home, "all"), _spark(home))
    }
    targets.append(engines_target(engines))
    texts = [f"All {_ALL} features, one cut-off, on both engines:\n\n{costs_table(engines, OWN)}"]
    for count in snapshots:
        days = [(last - timedelta(days=7 * back) - date(1970, 1, 1)).days for back in range(count)]
        found = {way.name: result_of(way, home, folder, days, repeats, say) for way in ways(home)}
        targets += [core_target(found), *peer_targets(found)] if count == 1 else []
        passes = "one cut-off" if count == 1 else f"{count} cut-offs, for the peers a pass each"
        texts.append(f"The 13 core features, {passes}:\n\n{costs_table(found)}")
    shutil.rmtree(folder)
    said = (
        "Everybody reads the same canonical partitions and only those that a cut-off needs, each in a fresh process; "
        "from the first file to the finished table in memory, imports and the start of Java left out (of this project "
        "on Spark, Java's start counts). Figures are the least time and the least processor time of the runs, and the "
        f"largest memory, that of the whole process and its children. Ours and the peers take {repeats} runs each; "
        f"pandas and Spark one, as everybody who takes longer than {_LONG_SECONDS:.0f} s: “runs” says how many, and "
        "the only one of one may be dearer than the best of more."
    )
    return Found(tuple(targets), "\n\n".join([said, own, *texts]))


def own_way(home: Path, which: str) -> Way:
    """This project's `core` features or `all`."""
    return Way(OWN, lambda: (sys.executable, "-m", "benchmarks.run_own_features", str(home), which))


def _spark(home: Path) -> Way:
    def settings() -> Mapping[str, str]:
        python = str(spark_interpreter())
        return {"CHURN_ENGINE": "spark", "CHURN_SPARK_MASTER": "local[2]", "CHURN_SPARK_PYTHON": python,
                "CHURN_SPARK_OPTIONS": '{"spark.driver.memory": "6g"}'}  # fmt: skip

    return Way(OWN_SPARK, own_way(home, "all").command, settings=settings, once=True)


def ways(home: Path) -> list[Way]:
    """Ours and the peers', of the core features; several cut-offs are passes of their own for who has no other way."""
    events, script = str(home / "events"), Path(__file__).parent
    isolated = ("-I", "-W", "ignore")  # neither our packages nor the user's own are seen

    def peer(name: str, python: Callable[[], Path]) -> Callable[[], Sequence[str]]:
        return lambda: (str(python()), *isolated, str(script / f"run_{name}_features.py"), events)

    return [
        own_way(home, "core"),
        Way(PLAIN, peer("duckdb", lambda: Path(sys.executable))),
        Way(POLARS[0], peer("polars", lambda: environment("polars", POLARS))),
        Way(PANDAS[0], peer("pandas", lambda: environment("pandas", PANDAS)), once=True),
        Way("plain SQL on Spark, local[2]", peer("spark", spark_interpreter), once=True),
    ]


def _own_part(home: Path, as_of: date, repeats: int) -> tuple[list[Target], str]:
    """Peers are measured whether it fails or not."""
    try:
        return own_part(scale_features.measure(home, as_of, repeats=repeats))
    except Failed as e:
        return list(none_measured(_OWN, str(e))), f"This project's own ways were not measured: {e}"


def own_part(found: FeatureFigures) -> tuple[list[Target], str]:
    """What this project's features cost by themselves."""
    count = len(FEATURES)
    one, rebuild = found.night_to_one, found.night_to_rebuild
    rows = {
        "one cut-off, from the events; pre-aggregates and totals are made and kept": found.one,
        "one cut-off, from the events in one pass; nothing is kept": found.rebuild,
        f"one more night, on {found.days - 1} days that were lived": found.night,
        "the night after the first, where no other was lived": found.second_night,
        f"{SNAPSHOTS} cut-offs together, from the events": found.eight,
        "the same as a panel, with labels": found.eight_with_labels,
        f"{SNAPSHOTS} cut-offs, each from the events": found.eight_passes,
        "plain SQL, one cut-off, 13 features": found.plain_core,
        f"plain SQL, one cut-off, all {count}": found.plain_all,
    }
    heads = [f"all {count} features, {found.customers:,} customers", "seconds", "ratio", "processor seconds", "ratio",
             "peak MB"]  # fmt: skip
    targets = [
        _both(0, found.one_to_plain_core),
        _both(1, found.one_to_plain_all, 1.2),
        at_most(_OWN[2][0], 1_000, found.one.peak_megabytes, " MB", 0, of=f"{found.events:,} events"),
        _both(3, found.eight_to_passes, 0.35),
        _both(4, found.labels_to_passes),
        _both(5, Ratio(max(one.processor, rebuild.processor), max(one.clock, rebuild.clock)), 0.1, digits=3),
        _both(6, one, digits=3),
        _both(7, rebuild, digits=3),
    ]
    base = found.plain_core.between
    cells = (
        [
            name,
            f"{cost.between.seconds:.2f}",
            f"{cost.between.seconds / base.seconds:.2f}",
            f"{cost.between.processor_seconds:.2f}",
            f"{cost.between.processor_seconds / base.processor_seconds:.2f}",
            f"{cost.peak_megabytes:,.0f}",
        ]
        for name, cost in rows.items()
    )
    return targets, f"{found.events:,} events; each way {runs(found.repeats)}:\n\n{table(heads, cells)}"


def _both(place: int, ratio: Ratio, wanted: float | None = None, digits: int = 2) -> Target:
    what = _OWN[place][0]
    if wanted is None:
        return told(what, said_both(ratio.processor, ratio.clock, digits))
    return at_most_both(what, wanted, ratio.processor, ratio.clock, digits)


def engines_target(found: Mapping[str, "Result | str"]) -> Target:
    """Reached where no value differs by a bit."""
    if failures := [result for result in found.values() if isinstance(result, str)]:
        return not_measured(*_SAME, failures[0])
    values = next(result.values for name, result in found.items() if name != OWN and isinstance(result, Result))
    return Target(*_SAME, values, values == IDENTICAL)


def core_target(found: Mapping[str, "Result | str"]) -> Target:
    """One statement beside one, the same features: what their being found by this project's SQL costs."""
    own, plain = found[OWN], found[PLAIN]
    if isinstance(own, str) or isinstance(plain, str):
        return not_measured(*_CORE, own if isinstance(own, str) else str(plain))
    return at_most_both(_CORE[0], 1.2, *_ratios(own, plain))


def peer_targets(found: Mapping[str, "Result | str"]) -> list[Target]:
    """How each peer stands to this project, the same 13 features of one cut-off; nothing is wanted of a peer."""
    own, targets = found[OWN], []
    for name, result in found.items():
        what = f"13 features, one cut-off: {name} / this project"
        if name == OWN:
            continue
        if isinstance(own, str) or isinstance(result, str):
            targets.append(not_measured(what, "", own if isinstance(own, str) else str(result)))
            continue
        memory = _peak(result.costs) / _peak(own.costs)
        ratios = said_both(*_ratios(result, own), digits=1)
        taken = runs(len(result.costs))
        targets.append(told(what, f"{ratios}, memory {memory:.1f} ({taken}), values {result.values}"))
    return targets


def costs_table(found: Mapping[str, "Result | str"], base: str = PLAIN) -> str:
    """One row a way, ratios to ``base``; who could not be measured is there with the reason."""
    of = found[base]
    return table(
        ["", "runs", "seconds", "median", "ratio", "processor seconds", "ratio", "peak MB", "ratio", "values"],
        (_row(name, result, None if isinstance(of, str) else of) for name, result in found.items()),
    )


def compared(theirs: pd.DataFrame, ours: pd.DataFrame, features: Iterable[Feature] = CORE_FEATURES) -> str:
    """How the values of these features stand to ours, over the same cut-offs and customers."""
    keys, names = ["as_of_day", "customer_id"], [f.name for f in features]
    a, b = (t.sort_values(keys).reset_index(drop=True) for t in (theirs, ours))
    if len(a) != len(b) or not (a[keys].astype(str) == b[keys].astype(str)).all(axis=None):
        return f"**other customers**: {len(a):,} rows, ours {len(b):,}"
    x, y = (t[names].to_numpy(np.float64) for t in (a, b))
    away = np.abs(x - y) / np.maximum(1.0, np.abs(y))
    if not np.isfinite(away).all():
        return "**some are not numbers**"
    if (largest := float(away.max())) == 0:
        return IDENTICAL
    return (
        f"rounding, {largest:.0e}" if largest < 1e-9 else f"**differ by {largest:.1e}** ({names[away.max(0).argmax()]})"
    )


def result_of(
    way: Way, home: Path, folder: Path, days: Sequence[int], repeats: int, say: Say,
    features: Sequence[Feature] = CORE_FEATURES,
) -> "Result | str":  # fmt: skip
    """Or why there is none. Values are compared with those of ``OWN``, which comes first."""
    found = folder / "found.parquet"
    costs: list[Cost] = []
    try:
        command = [*way.command(), str(found), *map(str, days)]
        given = settings_of(home, **way.settings())
        while not costs or (len(costs) < (1 if way.once else repeats) and costs[-1].whole.seconds <= _LONG_SECONDS):
            costs.append(cost := measured(command, environment=given, folder=REPOSITORY, limit_seconds=900))
            say(f"{way.name}, {len(days)} cut-offs: {cost.between.seconds:.1f} s, {cost.peak_megabytes:,.0f} MB")
    except (NoPeer, Failed) as e:
        say(f"{way.name}: {e}")
        return str(e)
    values, ours = pd.read_parquet(found), folder / f"own-{len(days)}-{len(features)}.parquet"
    if way.name == OWN:
        found.rename(ours)
        return Result(costs, "")
    return Result(costs, compared(values, pd.read_parquet(ours), features) if ours.is_file() else _UNKNOWN)


def _row(name: str, result: "Result | str", base: Result | None) -> list[str]:
    if isinstance(result, str):
        return [name, *"––––––––", f"**not measured**: {result}".replace("|", "/")]
    cost = best(result.costs)
    processor, clock = _ratios(result, base) if base else (None, None)
    return [
        f"**{name}**" if name.startswith("this project") else name,
        f"{len(result.costs)}",
        f"{cost.between.seconds:.2f}",
        f"{median_seconds(result.costs):.2f}",
        _told_ratio(clock),
        f"{cost.between.processor_seconds:.2f}",
        _told_ratio(processor),
        f"{cost.peak_megabytes:,.0f}",
        f"{cost.peak_megabytes / _peak(base.costs):.1f}" if base else "–",
        result.values,
    ]


def _told_ratio(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}"


def _ratios(one: Result, other: Result) -> tuple[float, float]:
    """Of processor time, which other work on the machine hardly touches, and on the clock."""
    a, b = best(one.costs).between, best(other.costs).between
    return a.processor_seconds / b.processor_seconds, a.seconds / b.seconds


def _peak(costs: Sequence[Cost]) -> float:
    return best(costs).peak_megabytes
