"""One SQL database for scores, checks and decisions: SQLite by default, PostgreSQL by URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from churn.errors import BadInput, Unavailable

# A server that hangs is away: seconds to connect, milliseconds that sent bytes may stay unacknowledged.
_GIVES_UP = {"connect_timeout": 5, "tcp_user_timeout": 15_000, "keepalives_idle": 10}
_MAKING = 4_201_101
"""Number of PostgreSQL's advisory lock: one process at a time makes tables and triggers. Any constant would do."""


class UtcTime(sa.TypeDecorator[datetime]):
    """A moment with its zone, UTC: SQLite keeps no zone, PostgreSQL answers in the session's."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Raises ValueError for a time without a zone: nobody could say later which moment it was."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"the time {value.isoformat()} has no zone")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Database:
    """Tables at a URL, made when they are first used; every use is one transaction."""

    def __init__(self, url: str, tables: sa.MetaData, name: str) -> None:
        """``name`` is what messages call it. Raises BadInput for an address that no driver understands."""
        self._tables, self._name = tables, name
        try:
            self.url = sa.make_url(url)
            if self.url.drivername in ("postgresql", "postgres"):  # psycopg 3 is the driver that is installed
                self.url = self.url.set(drivername="postgresql+psycopg")
            self.url.get_dialect()
        except SQLAlchemyError as e:
            raise BadInput(
                f"the {name}'s address cannot be used ({e}): write sqlite:///path or postgresql://user@host/database"
            ) from e

    def close(self) -> None:
        """Give back the connections."""
        if "_engine" in self.__dict__:
            self._engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A connection whose work is committed at the end, or undone by an error. Raises Unavailable."""
        try:
            with self._engine.begin() as db:
                yield db
        except (DBAPIError, PoolTimeout, OSError) as e:
            where = self.url.render_as_string(hide_password=True)
            raise Unavailable(f"the {self._name} at {where} did not answer: {_first_line(e)}") from e

    @cached_property
    def _engine(self) -> sa.Engine:
        """Connects, and makes what is not there yet: the tables, and the triggers that listen for their making."""
        if self.url.drivername.startswith("sqlite"):
            Path(self.url.database or ".").parent.mkdir(parents=True, exist_ok=True)
            # 30 s: a night's publication may hold the write lock while another one waits.
            # Parameters are hidden from what errors say: customers are among them.
            # Nobody keeps a connection: it would go on reading a file that a backup has long been put in place of.
            engine = sa.create_engine(
                self.url, poolclass=sa.NullPool, connect_args={"timeout": 30}, hide_parameters=True
            )
        else:
            engine = sa.create_engine(
                self.url, pool_pre_ping=True, pool_timeout=5, hide_parameters=True, connect_args=_GIVES_UP
            )
        for attempt in range(3):
            try:
                with engine.begin() as db:
                    if engine.dialect.name == "sqlite":
                        # Readers (the API) go on while a publication is written. The file remembers it, and readers
                        # must write nothing, least of all into a file that is just being put back.
                        db.exec_driver_sql("pragma journal_mode=wal")
                    if engine.dialect.name == "postgresql":
                        db.execute(sa.select(sa.func.pg_advisory_xact_lock(_MAKING)))
                    self._tables.create_all(db)
                break
            except DBAPIError:  # another process makes the tables at this very moment: look again
                if attempt == 2:
                    engine.dispose()
                    raise
        return engine


def _first_line(error: DBAPIError | PoolTimeout | OSError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return str(cause).strip().splitlines()[0]
