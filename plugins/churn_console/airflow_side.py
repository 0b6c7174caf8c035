"""Everything that the console knows of Airflow: who asks, what they may do, what waits, and how a run is started.

These are internals of Airflow's API server (3.3), not its public interface: whatever an upgrade moves, it is here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from fastapi import Depends, HTTPException, Request, status

DAGS = ("ingest_events", "score_nightly", "monitor_model", "retrain_model", "rollback_model")
RETRAIN, ROLLBACK, APPROVE = "retrain_model", "rollback_model", "approve"
"""DAGs, and the task that waits for a person."""
_MOST_WAITING = 5


def reader(user: GetUserDep) -> BaseUser:
    """Whoever is logged in and may read all of our DAGs; 401 or 403 otherwise."""
    if not all(_may(user, "GET", dag_id) for dag_id in DAGS):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "you may not read the churn DAGs")
    return user


Reader = Annotated[BaseUser, Depends(reader)]


def may_roll_back(user: BaseUser) -> bool:
    """As Airflow itself asks before it starts a run."""
    return _may(user, "POST", ROLLBACK, DagAccessEntity.RUN)


def roller_back(request: Request, user: Reader) -> BaseUser:
    """Whoever may start `rollback_model`, asking from a page of this very server."""
    _refuse_other_sites(request)
    if not may_roll_back(user):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "you may not start rollback_model")
    return user


RollerBack = Annotated[BaseUser, Depends(roller_back)]


def _may(user: BaseUser, method: Any, dag_id: str, entity: DagAccessEntity | None = None) -> bool:
    from airflow.models.dag import DagModel

    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    return bool(get_auth_manager().is_authorized_dag(method=method, access_entity=entity, details=details, user=user))


def _refuse_other_sites(request: Request) -> None:
    """The browser sends the login's cookie along, whoever wrote the page that asks.

    JSON alone makes a browser ask first for leave, which nobody gets; the rest is for browsers that say more.
    """
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise HTTPException(status.HTTP_415_UNSUPPORTED_MEDIA_TYPE, "send JSON")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "this was asked for by a page of another site")
    origin = request.headers.get("origin")
    # Behind a proxy the host may be another than the one that the browser knows.
    own = {request.headers.get("host", ""), urlsplit(conf.get("api", "base_url", fallback="")).netloc} - {""}
    if origin is not None and urlsplit(origin).netloc not in own:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "this was asked for by a page of another site")


@dataclass(frozen=True)
class Waiting:
    """A promotion that a person is asked about."""

    subject: str
    since: datetime
    run_id: str
    assigned: tuple[str, ...]
    """Who may answer; none: whoever may run the DAG."""
    page: str
    """Airflow's own page of the question, from its root on."""


def waiting_approvals() -> list[Waiting]:
    """Approvals without an answer, the oldest first. By the index on DAG and state, whatever was answered before."""
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import select

    parked = (TaskInstanceState.AWAITING_INPUT, TaskInstanceState.DEFERRED)
    query = (
        select(HITLDetail, TaskInstance.run_id)
        .join(TaskInstance, HITLDetail.ti_id == TaskInstance.id)
        .where(TaskInstance.dag_id == RETRAIN, TaskInstance.task_id == APPROVE, TaskInstance.state.in_(parked))
        .where(HITLDetail.responded_at.is_(None))
        .order_by(HITLDetail.created_at)
        .limit(_MOST_WAITING)
    )
    with create_session(scoped=False) as session:
        return [
            Waiting(
                subject=str(detail.subject),
                since=detail.created_at,
                run_id=str(run_id),
                assigned=tuple(user["name"] for user in detail.assigned_users),
                page=f"/dags/{RETRAIN}/runs/{quote(run_id, safe='')}/tasks/{APPROVE}/required_actions",
            )
            for detail, run_id in session.execute(query).unique()
        ]


def start(dag_id: str, who: BaseUser, asked: Mapping[str, Any]) -> str:
    """Start a run of a DAG in somebody's name; its id. HTTP errors say what is in the way."""
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.exceptions import DagNotFound, DagRunAlreadyExists, ParamValidationError
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    _write_down(dag_id, who, asked)
    with create_session(scoped=False) as session:
        known = session.get(DagModel, dag_id)
        if known is None or known.is_stale:
            raise HTTPException(status.HTTP_404_NOT_FOUND, f"Airflow does not know the DAG {dag_id} (yet)")
        if known.is_paused:
            raise HTTPException(
                status.HTTP_409_CONFLICT, f"{dag_id} is paused, so that a run would wait: switch it on first"
            )
        if known.has_import_errors:
            raise HTTPException(status.HTTP_409_CONFLICT, f"{dag_id} has import errors: see Airflow's front page")
        if known.allowed_run_types is not None and DagRunType.MANUAL not in known.allowed_run_types:
            raise HTTPException(status.HTTP_409_CONFLICT, f"{dag_id} does not allow runs that somebody starts")
    try:
        run = trigger_dag(
            dag_id, triggered_by=DagRunTriggeredByType.UI, triggering_user_name=who.get_name(), conf=dict(asked)
        )
    except DagNotFound as e:
        raise HTTPException(status.HTTP_404_NOT_FOUND, str(e)) from e
    except DagRunAlreadyExists as e:
        raise HTTPException(status.HTTP_409_CONFLICT, "another run was started at this very moment") from e
    except (ParamValidationError, ValueError) as e:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(e)) from e
    if run is None:
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, f"Airflow started no run of {dag_id}")
    return str(run.run_id)


def _write_down(dag_id: str, who: BaseUser, asked: Mapping[str, Any]) -> None:
    """Who asked for what, in Airflow's audit log, as its own API writes it down: whatever comes of it."""
    from airflow._shared.secrets_masker import secrets_masker
    from airflow.models import Log
    from airflow.utils.session import create_session

    conf = {name: secrets_masker.redact(value, name) for name, value in asked.items()}
    row = Log(
        event="trigger_dag_run", task_instance=None, owner=who.get_name(), owner_display_name=who.get_name(),
        extra=json.dumps({"conf": conf, "method": "POST", "from": "churn console"}), task_id=None, dag_id=dag_id,
        run_id=None,
    )  # fmt: skip
    with create_session(scoped=False) as session:
        session.add(row)


@dataclass(frozen=True)
class RunAddress:
    """Where a run is seen, from Airflow's root on."""

    page: str
    api: str


def run_address(dag_id: str, run_id: str) -> RunAddress:
    run = quote(run_id, safe="")
    return RunAddress(f"/dags/{dag_id}/runs/{run}", f"/api/v2/dags/{dag_id}/dagRuns/{run}")
