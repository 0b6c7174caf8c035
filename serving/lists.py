"""Tonight's list and what stands beside it, as it was published: nothing is scored here."""

from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request
from starlette.responses import StreamingResponse

from churn.io.scorebook import Score
from churn.settings import Settings
from serving import schemas
from serving.list_schemas import CustomerScore, Monitoring, ProfitCurve, ProfitPoint, TopCustomer, TopCustomers
from serving.nightly_checks import monitoring_of
from serving.parts import parts_of
from serving.profit import Curve, expected_profit
from serving.scores import age_days, is_stale
from serving.sheet import EXAMPLE, sheet
from serving.wanted import Wanted

router = APIRouter(prefix="/api/churn", tags=["scores"], responses=schemas.GUARDED)

_REFUSED: dict[int | str, dict[str, Any]] = {
    422: {"model": schemas.Refusal, "description": "Names the parameter, what came and what was expected"}
}
_SHEET: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Riskiest first",
        "content": {"text/csv": {"schema": {"type": "string"}, "example": EXAMPLE}},
    }
}
_UNKNOWN: dict[int | str, dict[str, Any]] = {
    404: {"model": schemas.Failure, "description": "No score of this customer was published"}
}


@router.get("/top", summary="Tonight's riskiest customers", responses=schemas.AWAY | _REFUSED)
def top(
    request: Request,
    wanted: Wanted,
    limit: Annotated[int, Query(ge=1, le=1000, description="how many customers", examples=[20])] = 20,
) -> TopCustomers:
    """The riskiest customers of the newest publication that pass the filters, riskiest first, with the reasons.

    `matching` says how many pass.
    """
    parts = parts_of(request)
    latest = parts.book.latest()
    listed = parts.book.top(limit, latest, **wanted) if latest else []
    return TopCustomers(
        as_of=latest.as_of if latest else None,
        published_at=latest.published_at if latest else None,
        model_version=latest.model_version if latest else None,
        threshold=latest.threshold if latest else None,
        customers_scored=latest.customers if latest else 0,
        predicted_to_churn=latest.predicted_to_churn if latest else 0,
        matching=parts.book.matching(latest, **wanted) if latest else 0,
        age_days=age_days(latest.as_of) if latest else None,
        stale=latest is not None and is_stale(latest),
        customers=[_row(score, parts.settings) for score in listed],
    )


@router.get(
    "/top.csv",
    summary="Tonight's list as a sheet",
    response_class=StreamingResponse,
    responses=schemas.AWAY | _REFUSED | _SHEET,
)
def top_csv(
    request: Request,
    wanted: Wanted,
    limit: Annotated[
        int | None, Query(ge=1, le=1_000_000_000, description="how many customers; all without it", examples=[1000])
    ] = None,
) -> StreamingResponse:
    """Everybody of the newest publication who passes the filters, riskiest first, with up to three reasons in words.

    UTF-8, CSV by RFC 4180. A text that a spreadsheet would run as a formula begins with an apostrophe. Where the night
    is published anew during the download, the transfer breaks off rather than mix two lists.
    """
    parts = parts_of(request)
    latest = parts.book.latest()
    pages = parts.book.pages(latest, limit, **wanted) if latest else iter([])
    first = next(pages, [])  # before the answer begins: a database that is away is still a 503
    name = f"churn-{latest.as_of}.csv" if latest else "churn.csv"
    return StreamingResponse(
        sheet(chain([first], pages), parts.settings),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.get(
    "/customers/{customer_id:path}",
    summary="What was last published of one customer",
    responses=schemas.AWAY | _UNKNOWN | _REFUSED,
)
def customer(
    request: Request, customer_id: Annotated[str, Path(description="as in the event log", examples=["100042"])]
) -> CustomerScore:
    """Of the newest publication, or of the last one that had the customer: `stale` says so.

    The id may hold any characters, percent-encoded as in any URL; a slash may stand as it is.
    """
    parts = parts_of(request)
    found = parts.book.customer(customer_id)
    if found is None:
        raise HTTPException(404, "no score of this customer has been published")
    publication, score = found
    return CustomerScore(
        **_row(score, parts.settings).model_dump(),
        as_of=publication.as_of,
        published_at=publication.published_at,
        model_version=publication.model_version,
        threshold=publication.threshold,
        age_days=age_days(publication.as_of),
        stale=is_stale(publication),
    )


@router.get("/profit", summary="Tonight's scores against the threshold", responses=schemas.AWAY)
def profit(request: Request) -> ProfitCurve:
    """How many customers each threshold contacts, how many of them are expected to leave, and what that earns.

    Contacting a customer earns contact_success · retained_value · p - contact_cost on average. At most 201 points; each
    threshold is a probability of the list, beside 0, the published one, and one from which on nobody is contacted.
    """
    parts = parts_of(request)
    settings, latest = parts.settings, parts.book.latest()
    return ProfitCurve(
        as_of=latest.as_of if latest else None,
        model_version=latest.model_version if latest else None,
        threshold=latest.threshold if latest else None,
        contact_cost=settings.contact_cost,
        retained_value=settings.retained_value,
        contact_success=settings.contact_success,
        customers_scored=latest.customers if latest else 0,
        points=_points(parts.scores.curves.of(latest), settings) if latest else [],
    )


@router.get(
    "/monitoring", tags=["monitoring"], summary="What the nightly checks found", responses=schemas.AWAY | _REFUSED
)
def monitoring(
    request: Request,
    nights: Annotated[int, Query(ge=1, le=400, description="how many checks of each kind", examples=[60])] = 60,
) -> Monitoring:
    """Drift and realised performance night by night, oldest first, and the newest word on each.

    Performance is known once a horizon has passed; until then `expected` is an estimate from the scores themselves.
    """
    return monitoring_of(parts_of(request).checks, nights)


def _row(score: Score, settings: Settings) -> TopCustomer:
    worth = expected_profit(settings, score.churn_probability)
    reasons = [vars(reason) for reason in score.reasons]
    return TopCustomer.model_validate({**vars(score), "expected_profit": worth, "reasons": reasons})


def _points(curve: Curve, settings: Settings) -> list[ProfitPoint]:
    columns = (curve.threshold.tolist(), curve.customers.tolist(), curve.leavers.tolist())
    return [
        ProfitPoint(
            threshold=threshold,
            customers=customers,
            expected_leavers=leavers,
            expected_profit=expected_profit(settings, leavers, customers),
        )
        for threshold, customers, leavers in zip(*columns, strict=True)
    ]
