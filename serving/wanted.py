"""Which customers of tonight's list are wanted: the filters of the list and of its sheet."""

from typing import Annotated

from fastapi import Depends, Query
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from churn.core.features import FEATURE_NAMES
from churn.io.scorebook import Filters

_LONGEST = 200
"""Characters of an id that are looked for: SQLite refuses patterns of more than 50,000."""


def _feature(name: str) -> str:
    if name not in FEATURE_NAMES:
        raise PydanticCustomError("feature", "the name of a feature, as /api/churn/features lists them")
    return name


def _part(search: str) -> str:
    if len(search) > _LONGEST:
        raise PydanticCustomError("search", f"{_LONGEST} characters at most")
    return search


def _filters(
    minimum: Annotated[
        float | None, Query(ge=0, le=1, allow_inf_nan=False, description="least probability", examples=[0.1])
    ] = None,
    decision: Annotated[
        int | None, Query(ge=0, le=1, description="1: a contact is expected to pay; 0: the others", examples=[1])
    ] = None,
    reason: Annotated[
        str | None,
        AfterValidator(_feature),
        Query(
            description="the feature that raises the score most",
            examples=["time_since_last_activity"],
            json_schema_extra={"enum": list(FEATURE_NAMES)},
        ),
    ] = None,
    search: Annotated[
        str | None,
        AfterValidator(_part),
        Query(
            description=f"part of the customer id, {_LONGEST} characters at most; case does not matter",
            examples=["1000"],
        ),
    ] = None,
) -> Filters:
    """Which customers are wanted; all of it must hold."""
    return Filters(minimum=minimum, decision=decision, raised_by=reason, search=search)


Wanted = Annotated[Filters, Depends(_filters)]
