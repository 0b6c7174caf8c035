"""The console's pages and the one thing that they do: start a rollback. Nobody is answered who is not logged in."""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse
from pydantic import BaseModel, StringConstraints, ValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException

from churn.io.kept_reports import Page
from churn.io.ledger import MOVES
from churn.settings import Settings
from churn_console import airflow_side, drift, models, nights, performance, quality
from churn_console.airflow_side import Reader, RollerBack
from churn_console.pages import render
from churn_console.reading import Reading

STATIC = {"console.css": "text/css", "console.js": "text/javascript", "theme.js": "text/javascript",
          "icon.svg": "image/svg+xml", "icon-dark.svg": "image/svg+xml"}  # fmt: skip
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# A report is a file of ours that brings its own styles; whatever else it brought would not run.
_OF_REPORTS = HEADERS | {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'; sandbox"
    )
}
_PAGE_OF_DAG = {
    "ingest_events": "quality", "score_nightly": "", "monitor_model": "performance", "retrain_model": "model",
    "rollback_model": "model#rollback",
}  # fmt: skip

app = FastAPI(title="Churn console", docs_url=None, redoc_url=None, openapi_url=None)


class RollBack(BaseModel):
    """Back to ``version`` (None: to the one before the present one), and why."""

    version: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}$")] | None = None
    why: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


async def asked_for(request: Request, _: RollerBack) -> RollBack:
    """The body, read only after its sender is known to be allowed: what strangers send is not even parsed."""
    try:
        return RollBack.model_validate_json(await request.body())
    except ValidationError as e:
        raise HTTPException(422, _said(e.errors())) from e


@app.get("/")
def overview(request: Request, user: Reader, until: date | None = None) -> HTMLResponse:
    def facts(reading: Reading) -> dict[str, Any]:
        from churn.steps.check_freshness import check_freshness

        shown = nights.window(reading, until)
        now = datetime.now(UTC)
        return {
            "window": shown,
            "words": models.WORDS,
            "history": reading.section(lambda: models.history(reading)),
            "waiting": reading.section(airflow_side.waiting_approvals),
            "fresh": reading.section(lambda: reading.ask(lambda _: check_freshness(reading.settings, now))),
            "latest": reading.section(lambda: reading.ask(lambda s: s.book.latest())),
            "nights": reading.section(lambda: nights.nights(reading, shown)),
        }

    return _page(request, user, "overview.html", facts)


@app.get("/model")
def model(request: Request, user: Reader) -> HTMLResponse:
    def facts(reading: Reading) -> dict[str, Any]:
        return {
            "history": reading.section(lambda: models.history(reading)),
            "gate": reading.section(lambda: models.last_gate(reading)),
            "waiting": reading.section(airflow_side.waiting_approvals),
            "may_roll_back": airflow_side.may_roll_back(user),
            "words": models.WORDS,
            "shown": models.SHOWN,
            "moves": MOVES,
        }

    return _page(request, user, "model.html", facts)


@app.get("/drift")
def drift_page(request: Request, user: Reader, until: date | None = None) -> HTMLResponse:
    def facts(reading: Reading) -> dict[str, Any]:
        shown = nights.window(reading, until)
        return {"window": shown, "drift": reading.section(lambda: drift.drift_map(reading, shown))}

    return _page(request, user, "drift.html", facts)


@app.get("/performance")
def performance_page(request: Request, user: Reader, until: date | None = None) -> HTMLResponse:
    def facts(reading: Reading) -> dict[str, Any]:
        shown = nights.window(reading, until)
        found = reading.section(lambda: performance.performance(reading, shown))
        judged = found.found.judged if found.found else None
        return {
            "window": shown,
            "performance": found,
            "calibration": reading.section(lambda: performance.calibration(reading, judged.as_of) if judged else None),
        }

    return _page(request, user, "performance.html", facts)


@app.get("/quality")
def quality_page(request: Request, user: Reader, until: date | None = None, night: date | None = None) -> HTMLResponse:
    def facts(reading: Reading) -> dict[str, Any]:
        shown = nights.window(reading, until)
        found = [(day, reading.section(partial(quality.quality_of, reading.kept, day))) for day in shown.days]
        while found and not (found[-1][1].found or found[-1][1].away):
            found.pop()
        kept = [day for day, section in found if section.found]
        chosen = night or next(iter(kept), None)
        detail = reading.section(lambda: quality.quality_of(reading.kept, chosen) if chosen else None)
        return {"window": shown, "found": found, "chosen": chosen, "detail": detail}

    return _page(request, user, "quality.html", facts)


@app.get("/dags/{dag_id}")
def of_dag(request: Request, user: Reader, dag_id: str) -> RedirectResponse:
    """What the tab on a DAG's page shows."""
    return RedirectResponse(f"{_root(request)}/{_PAGE_OF_DAG.get(dag_id, '')}", headers=HEADERS)


@app.get("/reports/{kind}/{key}")
def report(
    request: Request,
    user: Reader,
    kind: Page,
    key: Annotated[str, InPath(pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,9})$")],
) -> HTMLResponse:
    """A report as its step wrote it."""
    reading = Reading(_settings())
    section = reading.section(lambda: reading.kept.page(kind, key))
    if section.found is None:
        raise HTTPException(503 if section.away else 404, section.away or "this report is not kept any more")
    return HTMLResponse(section.found, headers=_OF_REPORTS)


@app.post("/rollback", status_code=202)
def roll_back(request: Request, user: RollerBack, asked: Annotated[RollBack, Depends(asked_for)]) -> JSONResponse:
    """Start `rollback_model` in the name of whoever is logged in; the ledger will name them."""
    run_id = airflow_side.start(airflow_side.ROLLBACK, user, {"version": asked.version, "reason": asked.why})
    airflow = _root(request).removesuffix("/churn")
    address = airflow_side.run_address(airflow_side.ROLLBACK, run_id)
    return JSONResponse(
        {"run_id": run_id, "page": f"{airflow}{address.page}", "state": f"{airflow}{address.api}"}, 202, headers=HEADERS
    )


@app.get("/static/{name}")
def static(user: Reader, name: str) -> Response:
    if name not in STATIC:
        raise HTTPException(404, "there is no such file")
    headers = HEADERS | {"Cache-Control": "private, max-age=300"}
    return FileResponse(Path(__file__).with_name("static") / name, media_type=STATIC[name], headers=headers)


@app.exception_handler(RequestValidationError)
def not_understood(request: Request, error: RequestValidationError) -> Response:
    return refused(request, HTTPException(422, _said(error.errors())))


@app.exception_handler(StarletteHTTPException)
def refused(request: Request, error: StarletteHTTPException) -> Response:
    """For a browser a page, for a program JSON."""
    headers = HEADERS | dict(error.headers or {})
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": error.detail}, error.status_code, headers=headers)
    page = render("refused.html", root=_root(request), status=error.status_code, detail=error.detail)
    return HTMLResponse(page, error.status_code, headers=headers)


def _page(request: Request, user: Any, template: str, facts: Callable[[Reading], dict[str, Any]]) -> HTMLResponse:
    root, settings = _root(request), _settings()
    values = facts(Reading(settings))
    page = render(
        template, root=root, airflow=root.removesuffix("/churn"), user=user.get_name(), now=datetime.now(UTC),
        name=settings.registered_model, **values,
    )  # fmt: skip
    return HTMLResponse(page, headers=HEADERS)


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as e:
        raise HTTPException(503, f"the settings cannot be used: {_said(e.errors())}") from e


def _said(errors: Iterable[Any]) -> str:
    """What pydantic found; an error of no field is one of the whole body."""
    return "; ".join(f"{x['loc'][-1] if x['loc'] else 'body'}: {x['msg']}" for x in errors)


def _root(request: Request) -> str:
    """Where the console is mounted, as the browser sees it."""
    return str(request.scope.get("root_path", "")).rstrip("/")
