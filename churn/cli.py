"""The command line: one command per step. ``churn --help`` tells the story of a night in order."""

import getpass
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import typer

from churn.console import run, say, translated

app = typer.Typer(
    name="churn",
    help="""Customer churn prediction.

    A night: [bold]ingest[/] → [bold]score[/] → [bold]drift[/] → [bold]monitor[/].
    A retraining: [bold]train[/] → [bold]compare[/] → [bold]promote[/], and the way back: [bold]rollback[/].
    Every date is UTC, and its midnight is the cut-off: nothing at or after it is seen.""",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    add_completion=False,
)

AsOf = Annotated[str, typer.Option("--as-of", metavar="YYYY-MM-DD", help="Cut-off date, UTC.", show_default="today")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON, the last line of standard output.")]


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Folder for the daily log files and truth.parquet.")],
    customers: Annotated[int, typer.Option(help="Customers who ever register.")] = 2_000,
    days: Annotated[int, typer.Option(help="Days of log.")] = 90,
    seed: Annotated[int, typer.Option(help="The same seed gives the same log, byte for byte.")] = 7,
    start: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="First day.", show_default="so that it ends yesterday")
    ] = None,
    as_json: Json = False,
) -> None:
    """Generate a raw event log with a known cancellation hazard (sparkify schema)."""
    from churn.steps.simulate import simulate as step

    first = _date(start) if start else _today() - timedelta(days=days)
    run(lambda _: step(out, customers=customers, days=days, seed=seed, start=first, progress=say), as_json)


@app.command()
def ingest(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Raw log files and folders.", show_default="the landing folder")
    ] = None,
    as_json: Json = False,
) -> None:
    """Validate raw logs and publish them as daily partitions of canonical events."""
    from churn.steps.ingest import ingest as step
    from churn.steps.ingest import refuse_rejected

    report = run(lambda s: step(s, paths or (), progress=say), as_json)
    translated(lambda: refuse_rejected(report))


@app.command()
def features(
    as_of: AsOf = "",
    known_at: Annotated[
        Literal["now", "then"], typer.Option(help="`then`: without events that arrived later.")
    ] = "now",
    as_json: Json = False,
) -> None:
    """Build the features of every customer at risk at a cut-off."""
    from churn.steps.build_features import build_features as step

    run(lambda s: step(s, _cut_off(as_of), known_at=known_at), as_json)


@app.command()
def train(as_of: AsOf = "", as_json: Json = False) -> None:
    """Train, measure on the held-out snapshot and register a model."""
    from churn.steps.train import train as step

    run(lambda s: step(s, _cut_off(as_of), progress=say), as_json)


@app.command()
def compare(as_json: Json = False) -> None:
    """Compare the model waiting at Staging with the one in production.

    The whole evidence is in the page that it names, and in what [bold]--json[/] prints.
    """
    from churn.steps.compare import compare as step
    from churn.steps.compare import text_of

    run(step, as_json, text_of)


@app.command()
def promote(
    version: Annotated[str | None, typer.Argument(help="Version.", show_default="the one at Staging")] = None,
    comment: Annotated[str | None, typer.Option(help="Kept in the ledger.")] = None,
    despite_rollback: Annotated[
        bool, typer.Option("--despite-rollback", help="Also a version that was rolled back from.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Promote the compared model, if the comparison said yes."""
    from churn.steps.promote import promote as step

    run(lambda s: step(s, version, who=_who(), comment=comment, despite_rollback=despite_rollback), as_json)


@app.command()
def score(as_of: AsOf = "", as_json: Json = False) -> None:
    """Build features, validate them, score with the Production model and publish."""
    from churn.steps.score import score as step

    run(lambda s: step(s, _cut_off(as_of)), as_json)


@app.command()
def backfill(
    first: Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD", help="First night.")],
    last: Annotated[str, typer.Option("--to", metavar="YYYY-MM-DD", help="Last night.")],
    again: Annotated[bool, typer.Option("--again", help="Also nights that the version has published.")] = False,
    as_json: Json = False,
) -> None:
    """Score every night of a range with the Production model, oldest first.

    What a month through Airflow costs in starting tasks, it saves: everything runs in this process. No alarm rings and
    no retraining is asked for. Stopped, it goes on where it was when it is called again.

    Example: [bold]churn backfill --from 2026-09-01 --to 2026-10-31[/]
    """
    from churn.steps.backfill import backfill as step

    run(lambda s: step(s, _date(first), _cut_off(last), again=again, progress=say), as_json)


@app.command()
def drift(as_of: AsOf = "", as_json: Json = False) -> None:
    """Tell whether the night's features and scores look other than when the model was measured.

    Equal lengths of log are compared, so that a log that grows is no drift. An alarm needs both: a difference beyond
    chance over all features together (Benjamini–Hochberg), and one that is large enough to matter.
    """
    from churn.steps.check_drift import check_drift as step

    run(lambda s: step(s, _cut_off(as_of), progress=say), as_json)


@app.command()
def monitor(as_of: AsOf = "", as_json: Json = False) -> None:
    """Let published scores meet what happened, and warn early when it goes another way.

    Until a horizon has passed the performance is estimated from the scores alone, and said to be. The early warning
    compares the cancellations of each day with those that the scores expected, per segment.
    """
    from churn.steps.monitor import monitor as step

    run(lambda s: step(s, _cut_off(as_of), progress=say), as_json)


@app.command()
def rollback(
    to: Annotated[
        str | None, typer.Option(help="Version that was in production before.", show_default="the one before")
    ] = None,
    why: Annotated[str, typer.Option(help="Kept in the ledger.")] = "asked for on the command line",
    as_json: Json = False,
) -> None:
    """Put an earlier Production version back.

    The API follows within seconds; the next night's scores are that version's.
    """
    from churn.steps.rollback import rollback as step

    run(lambda s: step(s, to, who=_who(), why=why), as_json)


@app.command()
def history(
    on: Annotated[
        str, typer.Option(metavar="YYYY-MM-DD", help="Only: which version was in production at the end of that day?")
    ] = "",
    as_json: Json = False,
) -> None:
    """Say which version was in production when, who put it there, and why."""
    from churn.steps.history import history as step
    from churn.steps.history import text_of

    run(lambda s: step(s, _date(on) if on else None), as_json, text_of)


@app.command()
def replay(
    first: Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD", help="First night.")],
    last: Annotated[str, typer.Option("--to", metavar="YYYY-MM-DD", help="Last night.")],
    into: Annotated[
        Path | None, typer.Option(help="Data home of the replay.", show_default="<home>/replays/from=…")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the nightly loop over past dates and print what would have happened.

    A line a night: customers scored, alarms, retrainings and what came of them, promotions.
    It reads the events of the data home and writes into a home of its own, so that production never notices. A night
    that was replayed before is not done again; a later [bold]--to[/] goes on where it ended.

    Example: [bold]churn replay --from 2026-10-01 --to 2026-10-31[/]
    """
    from churn.steps.replay import replay as step
    from churn.steps.replay import text_of

    run(lambda s: step(s, _date(first), _cut_off(last), into=into, progress=say), as_json, text_of)


@app.command()
def evaluate(
    as_of: Annotated[
        str, typer.Option(metavar="YYYY-MM-DD", help="Cut-off date, UTC.", show_default="the end of the log")
    ] = "",
    protocol: Annotated[Literal["both", "reference", "honest"], typer.Option(help="Which way to measure.")] = "both",
    oracle: Annotated[bool, typer.Option("--oracle", help="Also compare with a generated log's true hazard.")] = False,
    truth: Annotated[
        Path | None, typer.Option(help="`churn simulate`'s truth.parquet; implies --oracle.", show_default="the demo's")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure by the reference write-up's protocol and by the honest one, and explain the difference.

    [bold]reference[/]: features at the end of the log, label “ever cancelled”, five shuffled folds, threshold 0.5. For
    comparison with published tables only: who has cancelled falls silent, so the features know the label.

    [bold]honest[/]: features known before a cut-off, label strictly after it, a later date than any trained on. What
    decisions rest on.

    [bold]--oracle[/]: how much of what can be known at all the models know; a generated log only.

    Nothing is registered. Example: [bold]churn evaluate --protocol both --oracle[/]
    """
    from churn.steps.evaluate import evaluate as step
    from churn.steps.evaluate import text_of

    known = oracle or truth is not None
    run(
        lambda s: step(s, _cut_off(as_of), protocol=protocol, oracle=known, truth=truth, progress=say),
        as_json,
        lambda report: f"{text_of(report)}\nKept in {report.text_path} and {report.json_path}",
    )


@app.command()
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would go, and its size.")] = False,
    restored: Annotated[
        bool, typer.Option("--restored", help="After a backup was restored: also who was forgotten since.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove what is older than it is kept for: CHURN_KEEP_EVENTS_DAYS, …_SCORES_DAYS and the like.

    Every night does it by itself. Landing files, the ledger and models are never touched, nor what the monitor or a
    model at Production or Staging still needs. Example: [bold]churn prune --dry-run[/]
    """
    from churn.steps.prune import prune as step
    from churn.steps.prune import text_of

    run(lambda s: step(s, _today(), dry_run=dry_run, restored=restored, progress=say), as_json, text_of)


@app.command()
def forget(
    customer: Annotated[
        str, typer.Argument(help="Customer id; `-` reads it from standard input, which no shell history keeps.")
    ],
    landing: Annotated[
        bool, typer.Option("--landing", help="Write the raw files in the landing folder anew without them, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Erase a customer everywhere and keep a receipt; no later ingestion brings them back.

    The id is written nowhere: the receipt, in <home>/erasures, has a salted hash of it, and what was left and why.
    Example: [bold]printf 1000042 | churn forget -[/]
    """
    from churn.steps.forget import forget as step
    from churn.steps.forget import text_of

    given = sys.stdin.readline() if customer == "-" else customer
    run(lambda s: step(s, given, who=_who(), landing=landing, progress=say), as_json, text_of)


def _today() -> date:
    return datetime.now(UTC).date()


def _who() -> str:
    """Who gives the command, for the ledger."""
    return getpass.getuser()


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as e:
        raise typer.BadParameter(f"{text!r} is not a date: write it as YYYY-MM-DD, for example {_today()}") from e


def _cut_off(text: str) -> date:
    """Today by default. A day that has not begun has no complete log before it, and would hide every later night."""
    day = _date(text) if text else _today()
    if day > _today():
        raise typer.BadParameter(f"{day} has not begun (UTC): the latest cut-off is {_today()}")
    return day


if __name__ == "__main__":
    app()
