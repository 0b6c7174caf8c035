"""The command line: one command per step. ``churn --help`` tells the story of a night in order."""

import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError

from churn.errors import ChurnError, Unavailable
from churn.settings import Settings

app = typer.Typer(
    name="churn",
    help="""Customer churn prediction.

    A night: [bold]ingest[/] → [bold]score[/]. A retraining: [bold]train[/] → [bold]compare[/] → [bold]promote[/].
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
    _run(lambda _: step(out, customers=customers, days=days, seed=seed, start=first, progress=_say), as_json)


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

    report = _run(lambda s: step(s, paths or (), progress=_say), as_json)
    _translated(lambda: refuse_rejected(report))


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

    _run(lambda s: step(s, _cut_off(as_of), known_at=known_at), as_json)


@app.command()
def train(as_of: AsOf = "", as_json: Json = False) -> None:
    """Train, measure on the held-out snapshot and register a model."""
    from churn.steps.train import train as step

    _run(lambda s: step(s, _cut_off(as_of), progress=_say), as_json)


@app.command()
def compare(as_json: Json = False) -> None:
    """Compare the model waiting at Staging with the one in production."""
    from churn.steps.compare import compare as step

    _run(step, as_json)


@app.command()
def promote(as_json: Json = False) -> None:
    """Promote the compared model, if the comparison said yes."""
    from churn.steps.promote import promote as step

    _run(step, as_json)


@app.command()
def score(as_of: AsOf = "", as_json: Json = False) -> None:
    """Build features, validate them, score with the Production model and publish."""
    from churn.steps.score import score as step

    _run(lambda s: step(s, _cut_off(as_of)), as_json)


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
    _run(
        lambda s: step(s, _cut_off(as_of), protocol=protocol, oracle=known, truth=truth, progress=_say),
        as_json,
        lambda report: f"{text_of(report)}\nKept in {report.text_path} and {report.json_path}",
    )


def _run(step: Callable[[Settings], Any], as_json: bool, text: Callable[[Any], str] | None = None) -> Any:
    """Run one step with the settings of the environment and print its report, as ``text`` has it for people."""
    _quiet_libraries()
    report = _translated(lambda: step(Settings()))
    values = asdict(report)
    if as_json:
        print(json.dumps(values, default=str))
    elif text is not None:
        print(text(report))
    else:
        width = max(map(len, values))
        for name, value in values.items():
            print(
                f"{name.replace('_', ' '):<{width}}  {_readable(value)}"
                if not _is_table(value)
                else _table(name, value)
            )
    return report


def _translated(call: Callable[[], Any]) -> Any:
    """An error of ours becomes one clear message and an exit code: 75 (try again) or 1."""
    try:
        return call()
    except ValidationError as e:
        faults = "\n".join(f"- {'.'.join(map(str, x['loc']))}: {x['msg']}" for x in e.errors())
        print(f"error: a setting is not what it should be (CHURN_* variables, .env):\n{faults}", file=sys.stderr)
        raise typer.Exit(1) from e
    except ChurnError as e:
        print(f"error: {e}", file=sys.stderr)
        raise typer.Exit(75 if isinstance(e, Unavailable) else 1) from e


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and len(value) > 3


def _table(name: str, values: dict[str, Any]) -> str:
    """A line each; ``x_low`` and ``x_high`` are the interval of ``x``."""
    rows = {k: v for k, v in values.items() if not (k.endswith(("_low", "_high")) and k.rsplit("_", 1)[0] in values)}
    lines = [name.replace("_", " ")]
    for key, value in rows.items():
        low, high = values.get(f"{key}_low"), values.get(f"{key}_high")
        interval = f"  ({_readable(low)} to {_readable(high)})" if low is not None and high is not None else ""
        lines.append(f"  {key.replace('_', ' '):<{max(map(len, rows))}}  {_readable(value)}{interval}")
    return "\n".join(lines)


def _readable(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{k} {_readable(v)}" for k, v in value.items()) or "none"
    if isinstance(value, list | tuple):
        return "; ".join(map(_readable, value)) or "none"
    return "none" if value is None else str(value)


def _today() -> date:
    return datetime.now(UTC).date()


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


def _say(message: str) -> None:
    print(message, file=sys.stderr)


def _quiet_libraries() -> None:
    """Their progress belongs to no user of this command."""
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("great_expectations").setLevel(logging.WARNING)


if __name__ == "__main__":
    app()
