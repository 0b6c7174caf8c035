"""Reading for one request: what is away is said in its section, asked once, and the other sections still show."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

from churn.errors import ChurnError, ContractViolation, Unavailable
from churn.io.checks import Checks
from churn.io.kept_reports import KeptReports
from churn.io.ledger import Ledger
from churn.io.scorebook import ScoreBook
from churn.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True)
class Stores:
    """What lies in the database."""

    ledger: Ledger
    checks: Checks
    book: ScoreBook


@dataclass(frozen=True)
class Section(Generic[T]):
    """What was read, or why it could not be."""

    found: T | None
    away: str | None = None


@contextmanager
def understood(what: str) -> Iterator[None]:
    """What another version of this code, or somebody by hand, has stored otherwise than we know it, is said so."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise ContractViolation(f"{what} is not what this version writes there: {type(e).__name__}: {e}") from e


class Reading:
    """One request's way to everything that is shown."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.kept = KeptReports.of(settings.data_home)
        self._away: ChurnError | None = None

    def ask(self, read: Callable[[Stores], T]) -> T:
        """Ask the database. Once it did not answer, the rest of the page does not wait for it again."""
        if self._away:
            raise self._away
        try:
            return read(stores(self.settings.score_database))
        except Unavailable as e:
            self._away = e
            raise

    def section(self, read: Callable[[], T]) -> Section[T]:
        """What ``read`` finds, or its error in words."""
        try:
            return Section(read())
        except ChurnError as e:
            return Section(None, str(e))


@lru_cache(maxsize=2)
def stores(url: str) -> Stores:
    """Kept from request to request, with their connections. A store that was away is tried again by the next one."""
    return Stores(Ledger(url), Checks(url), ScoreBook(url))
