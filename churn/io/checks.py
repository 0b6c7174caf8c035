"""What the checks of each night found: drift, early warnings, performance; one row per date, check and version."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

import sqlalchemy as sa

from churn.io.database import Database, UtcTime

What = Literal["drift", "early_warning", "performance"]

_METADATA = sa.MetaData()

CHECKS = sa.Table(
    "checks",
    _METADATA,
    sa.Column("as_of", sa.Date, primary_key=True),
    sa.Column("what", sa.String, primary_key=True),
    sa.Column("model_version", sa.String, primary_key=True),
    sa.Column("alarm", sa.Boolean, nullable=False),
    sa.Column("summary", sa.Text, nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
    sa.Column("checked_at", UtcTime, nullable=False),
)


@dataclass(frozen=True)
class Check:
    """What one check found."""

    as_of: date
    what: str
    model_version: str
    alarm: bool
    summary: str
    detail: Mapping[str, Any]
    checked_at: datetime
    """UTC."""


class Checks:
    """Records and reads checks."""

    def __init__(self, url: str) -> None:
        self._database = Database(url, _METADATA, "table of checks")
        self.url, self.close = self._database.url, self._database.close

    def record(
        self, as_of: date, what: What, model_version: str, *, alarm: bool, summary: str, detail: Mapping[str, Any]
    ) -> Check:
        """Write what a check found, in place of what it found before for this date and version.

        ``detail`` becomes JSON: a number that is none (NaN) or infinite becomes null, a date its text.
        """
        check = Check(as_of, what, model_version, bool(alarm), summary, _plain(detail), datetime.now(UTC))
        same = (CHECKS.c.as_of == as_of) & (CHECKS.c.what == what) & (CHECKS.c.model_version == model_version)
        with self._database.transaction() as db:
            db.execute(sa.delete(CHECKS).where(same))
            db.execute(sa.insert(CHECKS).values(**vars(check)))
        return check

    def newest_night(self) -> date | None:
        """The last date of which anything was checked."""
        with self._database.transaction() as db:
            found: date | None = db.execute(sa.select(sa.func.max(CHECKS.c.as_of))).scalar()
        return found

    def headlines(self, since: date, until: date) -> list[Check]:
        """What the checks of these nights came to, both included, without their details; the newest date first."""
        columns = [c for c in CHECKS.c if c.name != "detail"]
        query = sa.select(*columns).where(CHECKS.c.as_of.between(since, until))
        with self._database.transaction() as db:
            found = [Check(**row._mapping, detail={}) for row in db.execute(query)]
        return sorted(found, key=lambda c: (c.as_of, c.checked_at), reverse=True)

    def all(
        self,
        what: What | None = None,
        *,
        since: date | None = None,
        until: date | None = None,
        limit: int | None = None,
    ) -> list[Check]:
        """Checks of one kind or of all, from ``since`` to ``until``, both included, the newest date first."""
        newest = (CHECKS.c.as_of.desc(), CHECKS.c.checked_at.desc(), CHECKS.c.what, CHECKS.c.model_version)
        query = sa.select(CHECKS).order_by(*newest).limit(limit)
        if what is not None:
            query = query.where(CHECKS.c.what == what)
        if since is not None:
            query = query.where(CHECKS.c.as_of >= since)
        if until is not None:
            query = query.where(CHECKS.c.as_of <= until)
        with self._database.transaction() as db:
            return [Check(**row._mapping) for row in db.execute(query)]


def _plain(value: Any) -> Any:
    """As JSON has it, numpy's numbers included."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else json.loads(json.dumps(value, default=str))
