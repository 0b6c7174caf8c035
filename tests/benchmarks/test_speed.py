"""The benchmark of speed on next to no data: what it measures, that peers compute the same, and what its tables say."""

import gzip
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import __main__ as bench
from benchmarks import scale_data, scale_night, scale_peers
from benchmarks.peer_environment import NoPeer
from benchmarks.scale_features import FeatureFigures, plain_all_sql
from benchmarks.scale_peers import (
    OWN,
    OWN_SPARK,
    PLAIN,
    Result,
    Way,
    compared,
    core_target,
    costs_table,
    engines_target,
    own_part,
    own_way,
    peer_targets,
    result_of,
)
from benchmarks.scale_process import Cost, Failed, Spent, best, measured
from benchmarks.scale_table import (
    Found,
    as_of_now,
    at_least,
    at_most,
    at_most_both,
    beside_earlier,
    exponent,
    keep,
    none_measured,
    not_measured,
    summary,
    told,
)
from churn.core.events import EVENT_COLUMNS
from churn.core.features import FEATURES, features_sql, session_days_sql
from churn.io.engines.duckdb import open_engine
from churn.io.lake import Lake

REPOSITORY = Path(__file__).resolve().parents[2]
DAY = date(2026, 8, 1)
SCRIPTS = REPOSITORY / "benchmarks"
AS_OF_DAYS = [(DAY + timedelta(days=n) - date(1970, 1, 1)).days for n in (1, 2, 3)]


def at(day: int, seconds: float) -> int:
    midnight = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) + timedelta(days=day)
    return int(midnight.timestamp() * 1000 + seconds * 1000)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days of events in which much is awkward: a session over midnight, ties, no registration, a cancellation."""
    rows = [
        # customer, time, session, kind, plan, registered, item
        ("1", at(0, 10), "a", "play", "free", at(-9, 0), 0),
        ("1", at(0, 70.5), "a", "like", "free", at(-9, 0), 1),
        ("1", at(0, 70.5), "a", "upgrade", "paid", at(-9, 0), 2),
        ("1", at(1, 5), "b", "play", "paid", at(-9, 0), 0),
        ("2", at(0, 86_000), "c", "play", "paid", None, 0),
        ("2", at(1, 30), "c", "dislike", "paid", None, 1),
        ("2", at(2, 30), "d", "downgrade", "free", None, 0),
        ("3", at(0, 1), "e", "browse", "free", at(-2, 0), 0),
        ("3", at(1, 1), "f", "cancel", "free", at(-2, 0), 0),
        ("4", at(2, 3), "g", "add_friend", "free", at(2, 1), 0),
        ("4", at(2, 4), "g", "add_to_playlist", "free", at(2, 1), 1),
        ("5", at(0, 7), "h", "help", "free", at(-1, 0), 0),
    ]
    types = {"varchar": pa.string(), "bigint": pa.int64(), "integer": pa.int32(), "double": pa.float64()}
    schema = pa.schema([(name, types[kind]) for name, kind in EVENT_COLUMNS.items()])
    folder = tmp_path_factory.mktemp("speed") / "home"
    names = ("customer_id", "ts_ms", "session_id", "kind", "plan", "registered_ms", "item_in_session")
    for day in range(3):
        days = [
            {**dict(zip(names, row, strict=True)), "duration_s": 1.0, "ingested_ms": at(3, 0)}
            for row in rows
            if at(day, 0) <= row[1] < at(day + 1, 0)
        ]
        path = folder / "events" / f"date={DAY + timedelta(days=day)}" / "events.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(days, schema), path)
    return folder


def found_by(way: Way, home: Path, folder: Path) -> Result | str:
    return result_of(way, home, folder, AS_OF_DAYS, 1, lambda _: None)


def script(name: str, home: Path) -> Way:
    """A peer that runs on the packages of this environment too."""
    command = (sys.executable, "-I", str(SCRIPTS / f"run_{name}_features.py"), str(home / "events"))
    return Way(PLAIN if name == "duckdb" else name, lambda: command)


def test_peers_compute_the_values_that_this_project_does(home: Path, tmp_path: Path) -> None:
    found = {OWN: found_by(own_way(home, "core"), home, tmp_path)}
    table = pd.read_parquet(tmp_path / "own-3-13.parquet")
    assert len(table) == 4 + 3 + 4  # the third has cancelled on the second day, the fourth comes on the third
    assert set(table["is_paid_user"]) == {0.0, 1.0}
    for way in (script("duckdb", home), script("pandas", home)):
        found[way.name] = found_by(way, home, tmp_path)
    values = {name: result if isinstance(result, str) else result.values for name, result in found.items()}
    assert values == {OWN: "", PLAIN: "identical", "pandas": "identical"}
    said = costs_table(found)
    assert f"**{OWN}**" in said and said.count("identical") == 2
    assert [target.what.split(": ")[1] for target in peer_targets(found)] == [
        f"{PLAIN} / this project",
        "pandas / this project",
    ]
    assert all(target.measured.endswith("(one run), values identical") for target in peer_targets(found))


def test_the_plain_statement_of_all_features_finds_what_this_project_does(home: Path) -> None:
    with open_engine({"events": Lake(home).event_files(before=DAY + timedelta(days=3))}) as engine:
        day = AS_OF_DAYS[-1]
        engine.register("snapshots", pa.table({"as_of_day": pa.array([day], pa.int64())}))
        plain = engine.table(plain_all_sql(day)).to_pandas()
        ours = engine.table(features_sql(f"({session_days_sql('events')})", "snapshots"))
    assert len(plain) == 4 and len(plain.columns) == 1 + len(FEATURES)
    assert plain[[f.name for f in FEATURES]].to_numpy().any(axis=0).sum() > 40  # there is something to compare
    assert compared(plain.assign(as_of_day=day), ours.to_pandas(), FEATURES) == "identical"


def test_two_engines_are_the_same_only_where_no_value_differs(home: Path, tmp_path: Path) -> None:
    ours = result_of(own_way(home, "all"), home, tmp_path, AS_OF_DAYS[-1:], 1, lambda _: None, FEATURES)
    assert isinstance(ours, Result)
    table = pd.read_parquet(tmp_path / "own-1-64.parquet")
    off = table.assign(active_days_7d=table["active_days_7d"] * (1 + 1e-15))
    verdicts = {}
    for name, theirs in (("same", table.sample(frac=1, random_state=1)), ("off", off)):
        values = compared(theirs, table, FEATURES)
        verdicts[name] = engines_target({OWN: ours, OWN_SPARK: Result(ours.costs, values)})
    assert (verdicts["same"].wanted, verdicts["same"].measured, verdicts["same"].reached) == ("identical",) * 2 + (
        True,
    )
    assert verdicts["off"].measured.startswith("rounding") and verdicts["off"].reached is False
    assert engines_target({OWN: ours, OWN_SPARK: "no Java"}).measured == "not measured: no Java"


def test_a_peer_with_other_values_is_not_let_pass(home: Path, tmp_path: Path) -> None:
    found_by(own_way(home, "core"), home, tmp_path)
    ours = pd.read_parquet(tmp_path / "own-3-13.parquet")
    wrong = ours.assign(thumbs_up_count=ours["thumbs_up_count"] + (ours["customer_id"] == "1"))
    assert compared(ours.sample(frac=1, random_state=3), ours) == "identical"
    assert "thumbs_up_count" in compared(wrong, ours)
    assert (
        compared(ours.assign(avg_session_duration=ours["avg_session_duration"] * (1 + 1e-14)), ours)[:8] == "rounding"
    )
    assert "other customers" in compared(ours[ours["customer_id"] != "5"], ours)
    assert "not numbers" in compared(ours.assign(thumbs_up_ratio=float("nan")), ours)


def test_a_peer_that_cannot_be_had_or_fails_stays_in_the_table_with_the_reason(home: Path, tmp_path: Path) -> None:
    def missing() -> Sequence[str]:
        raise NoPeer("no such | package")

    breaks = Way("breaks", lambda: (sys.executable, "-c", "raise MemoryError('too much')"))
    found = {way.name: found_by(way, home, tmp_path) for way in (own_way(home, "core"), Way(PLAIN, missing), breaks)}
    said = costs_table(found)
    assert "| **not measured**: no such / package |" in said
    assert "| **not measured**: MemoryError: too much |" in said
    assert [target.measured for target in peer_targets(found)] == [
        "not measured: no such | package",
        "not measured: MemoryError: too much",
    ]


def test_this_projects_statement_is_judged_against_the_plain_one_of_the_same_features() -> None:
    def result(processor: float, clock: float) -> Result:
        return Result([Cost(Spent(clock, processor), Spent(9, 9), 100, "")], "identical")

    for clock, reached in ((2.2, True), (2.6, False)):
        target = core_target({OWN: result(2, clock), PLAIN: result(2, 2)})
        assert (target.what, target.wanted) == scale_peers.WANTED[-1]
        assert target.measured == f"1.00 of processor time, {clock / 2:.2f} on the clock"
        assert target.reached is reached
    assert core_target({OWN: result(2, 2), PLAIN: "gone"}).measured == "not measured: gone"


def test_this_projects_features_are_judged_against_plain_sql_and_eight_passes() -> None:
    def cost(processor: float, clock: float) -> Cost:
        return Cost(Spent(clock, processor), Spent(9, 9), 100 * processor, "")

    figures = FeatureFigures(
        repeats=3, events=12, days=3, customers=4, one=cost(4, 3), plain_core=cost(2, 1), plain_all=cost(5, 2),
        eight=cost(6, 4), eight_with_labels=cost(7, 5), eight_passes=cost(20, 10), rebuild=cost(3, 2.5),
        night=cost(0.3, 0.2), second_night=cost(0.6, 0.5),
    )  # fmt: skip
    targets, text = own_part(figures)
    assert [(t.wanted, t.measured, t.reached) for t in targets] == [
        ("", "2.00 of processor time, 3.00 on the clock", None),
        ("≤ 1.2", "0.80 of processor time, 1.50 on the clock", False),
        ("≤ 1,000 MB", "400 MB (12 events)", True),
        ("≤ 0.35", "0.30 of processor time, 0.40 on the clock", False),
        ("", "0.35 of processor time, 0.50 on the clock", None),
        ("≤ 0.1", "0.100 of processor time, 0.080 on the clock", True),
        ("", "0.075 of processor time, 0.067 on the clock", None),
        ("", "0.100 of processor time, 0.080 on the clock", None),
    ]
    assert [(t.what, t.wanted) for t in targets] == [*scale_peers.WANTED[:-2]]
    assert "12 events; each way best of 3 runs" in text and "all 64 features, 4 customers" in text
    assert "on 2 days that were lived | 0.20 | 0.20 | 0.30 | 0.15 | 30 |" in text


def test_the_best_of_some_runs_has_the_least_of_each_time_and_the_largest_memory() -> None:
    first, second = Cost(Spent(3, 2), Spent(5, 4), 900, ""), Cost(Spent(2, 3), Spent(6, 3), 700, "")
    assert best([first, second]) == Cost(Spent(2, 2), Spent(5, 3), 900, "")


def test_cost_is_of_a_process_and_of_what_it_starts() -> None:
    child = "held = bytearray(150_000_000); import time; time.sleep(0.6)"
    lines = [
        "import subprocess, sys, time",
        "from benchmarks.plain_features import mark",
        "mark('start')",
        f"subprocess.run([sys.executable, '-c', {child!r}], check=True)",
        "until = time.process_time() + 0.3",
        "while time.process_time() < until: pass",
        "mark('stop')",
        "print('[1]')",
    ]
    cost = measured([sys.executable, "-c", "\n".join(lines)], folder=REPOSITORY)
    assert cost.said == "[1]"
    assert cost.peak_megabytes > 150
    assert 0.29 <= cost.between.processor_seconds <= cost.whole.processor_seconds + 0.05
    assert cost.between.seconds < cost.whole.seconds


def test_a_command_that_fails_says_why_in_its_last_words() -> None:
    with pytest.raises(Failed, match="ValueError: no luck"):
        measured([sys.executable, "-c", "raise ValueError('no luck')"])
    with pytest.raises(Failed, match="memory runs out"):
        measured([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    with pytest.raises(Failed, match="more than 1 s"):
        measured([sys.executable, "-c", "import time; time.sleep(60)"], limit_seconds=1)


def test_the_exponent_is_the_power_by_which_cost_grows() -> None:
    assert exponent([1, 10, 100], [3 * n**1.05 for n in (1, 10, 100)]) == pytest.approx(1.05)
    assert exponent([43, 430], [7, 7]) == pytest.approx(0)


def test_the_summary_says_what_was_reached_what_not_and_what_was_not_measured() -> None:
    said = summary(
        [
            at_most("a", 0.35, 0.2), at_most("b", 2_000, 2_400, " MB", 0), at_least("c", 500_000, 700_000),
            not_measured("d", "≤ 1", "no disk"), told("e", "7"), at_most_both("f", 0.1, 0.05, 0.11),
        ]
    )  # fmt: skip
    assert said.splitlines()[2:] == [
        "| a | ≤ 0.35 | 0.20 | reached |",
        "| b | ≤ 2,000 MB | 2,400 MB | **not reached** |",
        "| c | ≥ 500,000 | 700,000 | reached |",
        "| d | ≤ 1 | not measured: no disk |  |",
        "| e |  | 7 |  |",
        "| f | ≤ 0.1 | 0.05 of processor time, 0.11 on the clock | **not reached** |",
    ]


def night(events: int, seconds: float, megabytes: float) -> scale_night.Night:
    costs = {
        name: Cost(
            Spent(seconds, seconds), Spent(seconds + 1, seconds + 1), megabytes if name == "publish" else 9.0, ""
        )
        for name in scale_night.STEPS
    }
    return scale_night.Night(events, events // 20, costs)


NIGHTS = [
    scale_night.Lived(0.1, [night(43_000, 0.2, 300)]),
    scale_night.Lived(1, [night(430_000, 2, 900), night(430_000, 3, 950)]),
    scale_night.Lived(10, [night(4_300_000, 20, 2_500)]),
]


def test_a_night_is_judged_at_the_reference_and_its_growth_over_the_sizes() -> None:
    found = scale_night.told_of(NIGHTS, "a log of few")
    measured_ = {target.what: target for target in found.targets}
    assert [target.what for target in found.targets[:5]] == [what for what, _ in scale_night.WANTED]
    of = "(430,000 new events, 21,500 customers)"
    assert measured_["a night at the reference's size: seconds of the processors"].measured == f"15.0 s {of}"
    assert measured_["a night at the reference's size: memory"].measured == "950 MB"
    assert measured_["the same, starting and importing left out"].measured == "1.00"
    assert "| 10 | 1 | 4,300,000 | 215,000 | 21.0 |" in found.text and "| publish |" in found.text
    assert "copies of the one log" in found.text and "trained on a log of few" in found.text


def test_a_size_that_fails_leaves_the_others_and_its_targets_say_why(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = scale_data.Log(home, 5)
    lived = iter([night(43_000, 0.2, 300), night(430_000, 2, 900), Failed("ingest: killed")])

    def live(*_: object) -> scale_night.Night:
        if isinstance(found := next(lived), Failed):
            raise found
        return found

    def no_room() -> scale_data.Log:
        raise Failed("27 GB are needed")

    monkeypatch.setattr(scale_night, "lived", live)
    sizes = [
        scale_night.Size(0.1, 1, lambda: log),
        scale_night.Size(1, 2, lambda: log),
        scale_night.Size(10, 1, no_room),
    ]
    found = scale_night.told_of(scale_night.measure(sizes, "", tmp_path, lambda _: None), "few")
    assert [(t.wanted, t.measured.partition(" (")[0], t.reached) for t in found.targets] == [
        ("≤ 30 s", "15.0 s", True),
        ("≤ 2,000 MB", "900 MB", True),
        *[("≤ 1.05", "not measured: 27 GB are needed", None)] * 3,
        ("", "not measured: ingest: killed", None),
        ("", "not measured: 27 GB are needed", None),
    ]
    assert "| 1 | 1 | 430,000 |" in found.text and "failed: 27 GB are needed" in found.text
    earlier = replace(scale_night.told_of(NIGHTS, "few"), made="2026-11-20, 9 s", code="0.1.0-abc")
    again = beside_earlier(found, earlier).targets
    assert again[0] == found.targets[0] and again[3].before == "1.00 (code 0.1.0-abc)"


def test_copies_of_a_log_are_customers_of_their_own_and_their_new_day_goes_on_with_them(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partition = home / "events" / f"date={DAY}" / "events.parquet"
    to = tmp_path / "day" / "events.parquet"
    scale_data._replicate(partition, to, 3)
    once, copies = pq.read_table(partition, partitioning=None).to_pylist(), pq.ParquetFile(to).read().to_pylist()
    assert Counter(row["kind"] for row in copies) == Counter(
        {k: 3 * n for k, n in Counter(r["kind"] for r in once).items()}
    )
    names = {row["customer_id"] for row in copies}
    assert len(names) == 3 * len({row["customer_id"] for row in once})
    assert [row["customer_id"] for row in copies] == sorted(row["customer_id"] for row in copies)
    raw, repeated = tmp_path / "raw.json.gz", tmp_path / "repeated.json.gz"
    monkeypatch.setattr(scale_data, "_BLOCK_LINES", 2)
    lines = [
        {"sessionId": 7, "userId": "1", "song": 'a "userId" 5'},
        {"sessionId": 8, "userId": "", "song": None},
        {"sessionId": 9, "userId": "2", "song": None},
    ]
    with gzip.open(raw, "wt") as file:
        file.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    scale_data._repeat(raw, repeated, 3)
    with gzip.open(repeated, "rt") as file:
        rows = [json.loads(line) for line in file]
    assert len(rows) == 9 and len({row["sessionId"] for row in rows}) == 9
    first, second, third = rows[:6:2], rows[1:6:2], rows[6:]  # a block of two lines after another, then one of one
    assert {row["userId"] for row in first} <= names and {row["userId"] for row in second} == {""}
    assert {row["song"] for row in first} == {'a "userId" 5'}
    assert {row["userId"][-1] for row in third} == {"2"} and {row["userId"] for row in third} <= names


def test_another_home_shares_the_files_and_what_is_replaced_in_it_stays_there(home: Path, tmp_path: Path) -> None:
    there = scale_data.linked(home, tmp_path / "home")
    files = sorted((there / "events").glob("*/*"))
    assert len(files) == 3 and all(path.stat().st_nlink > 1 for path in files)
    files[0].unlink()
    assert len(list((home / "events").glob("*/events.parquet"))) == 3


def test_data_are_made_again_only_when_they_would_come_out_otherwise_or_were_left_half_made(tmp_path: Path) -> None:
    made: list[int] = []

    def make(folder: Path) -> None:
        (folder / "data").write_text("")
        made.append(1)
        if len(made) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scale_data._made(tmp_path / "log", {"customers": 1}, make)
    for customers in (1, 1, 2, 2):
        assert scale_data._made(tmp_path / "log", {"customers": customers}, make) == tmp_path / "log"
    assert len(made) == 3


def test_the_page_shows_every_part_that_was_measured_and_its_targets_at_the_top(tmp_path: Path) -> None:
    for name, reached in (("generator", 700_000), ("night", 1)):
        target = at_least(f"{name}, so fast", 500_000, reached)
        found = Found((target,), f"text of {name}", "2026-11-23, 5 s", bench.code_version())
        keep(tmp_path / "figures" / f"{name}.json", found)
    page = bench.shown(tmp_path, quick=True, now=("generator", "night"))
    assert page.index("| night, so fast | ≥ 500,000 | 1 | **not reached** |") < page.index("### The generator")
    assert page.index("text of generator") < page.index("### A whole night\n\n2026-11-23, 5 s, code ")
    assert "not a measurement" in page and "Drift" not in page and " cores, " in page


def test_a_part_that_fails_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: bench.Bench) -> Found:
        raise Failed("the disk is full")

    parts = {"night": bench.Part("A whole night", fails, (("so fast", "≤ 1"), ("so large", "≤ 2")))}
    monkeypatch.setattr(bench, "PARTS", parts)
    trial = bench.Bench(tmp_path, quick=True, largest=False, began=0.0)
    why = "not measured: Failed: the disk is full"
    found = bench.measured("night", trial)
    keep(tmp_path / "figures" / "night.json", found)
    page = bench.shown(tmp_path, quick=True)
    assert f"| so fast | ≤ 1 | {why} |  |\n| so large | ≤ 2 | {why} |  |" in page
    assert "**Not measured**: Failed: the disk is full" in page and "As of before" not in page

    earlier = Found((at_most("so fast", 1, 0.5),), "the table", "2026-11-20, 9 s", "0.1.0-abc")
    keep(tmp_path / "figures" / "night.json", again := bench.measured("night", trial, earlier))
    page = bench.shown(tmp_path, quick=True)
    assert f"| so fast | ≤ 1 | {why}; before: 0.50 (code 0.1.0-abc) |  |" in page
    assert "As of before: 2026-11-20, 9 s, code 0.1.0-abc\n\nthe table" in page
    assert bench.measured("night", trial, again) == again


def test_figures_of_other_code_are_marked_as_such() -> None:
    found = Found((at_most("a", 1, 0.5),), "", "2026-11-20, 9 s", "0.1.0-abc")
    assert as_of_now(found, "0.1.0-abc") == found.targets
    (marked,) = as_of_now(found, "0.1.0-def")
    assert marked.measured == "0.50 (of another run, code 0.1.0-abc)" and marked.reached is True
    lost = Found(none_measured([("b", "≤ 3")], "why"), "", failed="no disk")
    assert summary(as_of_now(lost, "x")).endswith("| b | ≤ 3 | not measured: no disk |  |")


def test_a_folder_of_generated_data_is_ignored_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("new", "own", "repository"):
        (tmp_path / name).mkdir()
    (tmp_path / "own" / ".gitignore").write_text("mine")
    monkeypatch.setattr(bench, "REPOSITORY", tmp_path / "repository")
    for name in ("new", "own", "repository"):
        bench.ignored(tmp_path / name)
    assert (tmp_path / "new" / ".gitignore").read_text() == "*\n"
    assert (tmp_path / "own" / ".gitignore").read_text() == "mine"
    assert not (tmp_path / "repository" / ".gitignore").exists()


def test_help_teaches_and_an_unknown_part_is_named() -> None:
    command = [sys.executable, "-m", "benchmarks"]
    run = {"cwd": REPOSITORY, "capture_output": True, "text": True, "check": False}
    taught = subprocess.run([*command, "--help"], **run).stdout
    assert 'make bench ARGS="--only features,night"' in taught and "--largest" in taught
    refused = subprocess.run([*command, "--only", "features,nights"], **run)
    assert refused.returncode == 2 and "'nights'" in refused.stderr and "training, night" in refused.stderr
    refused = subprocess.run([*command, "--quick", "--write"], **run)
    assert refused.returncode == 2 and "--write needs a measurement" in refused.stderr


@pytest.mark.slow
def test_a_whole_night_is_lived_on_a_generated_log(tmp_path: Path) -> None:
    log = scale_data.generated(tmp_path, 600, lambda _: None)
    model = scale_data.trained(tmp_path, log, 0, lambda _: None)
    (lived,) = scale_night.measure([scale_night.Size(1, 1, lambda: log)], model, tmp_path, lambda _: None)
    (night,) = lived.nights
    assert night.events > 4_000 and 300 < night.customers < 600
    assert list(night.steps) == ["ingest", "features", "validate", "publish", "drift"]
    assert 0 < night.own_seconds < night.processor_seconds
    assert not (tmp_path / "night").exists()
