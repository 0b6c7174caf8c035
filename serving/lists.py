"""Tonight's list and what stands beside it, as it was published: nothing is scored here."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from serving import schemas
from serving.parts import parts_of
from serving.scores import STALE_DAYS, age_days

router = APIRouter(prefix="/api/churn", tags=["scores"])


@router.get(
    "/top",
    summary="Tonight's riskiest customers",
    responses=schemas.AWAY | {422: {"model": schemas.Refusal, "description": "The limit is out of range"}},
)
def top(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=1000, description="how many customers")] = 20,
) -> schemas.TopCustomers:
    """The riskiest customers of the newest publication, riskiest first."""
    book = parts_of(request).book
    latest = book.latest()
    riskiest = book.top(limit, latest) if latest else []
    age = age_days(latest) if latest else None
    return schemas.TopCustomers(
        as_of=latest.as_of if latest else None,
        published_at=latest.published_at if latest else None,
        model_version=latest.model_version if latest else None,
        threshold=latest.threshold if latest else None,
        customers_scored=latest.customers if latest else 0,
        predicted_to_churn=latest.predicted_to_churn if latest else 0,
        age_days=age,
        stale=age is not None and age > STALE_DAYS,
        customers=[schemas.TopCustomer.model_validate(score, from_attributes=True) for score in riskiest],
    )
