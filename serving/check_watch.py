"""The newest nightly checks, known without asking the database: looked at now and then in the background."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

from churn.io.checks import Check, Checks, What

_KINDS: tuple[What, ...] = get_args(What)


@dataclass(frozen=True)
class LatestChecks:
    """The newest check of each kind of which there is one, and whether the store answered when it was last asked."""

    newest: Mapping[What, Check] = field(default_factory=dict)
    reachable: bool | None = None


class CheckWatch:
    """``latest`` is swapped in one assignment, so that Prometheus never waits for a database."""

    def __init__(self, checks: Checks) -> None:
        self._checks = checks
        self.latest = LatestChecks()

    def look(self) -> None:
        """Ask once for the newest of each kind. Keeps what was last known where the store does not answer."""
        try:
            newest = {what: found[0] for what in _KINDS if (found := self._checks.all(what, limit=1))}
        except Exception:  # a surprise too means that nothing new is known; the poller logs it
            self.lost()
            raise
        self.latest = LatestChecks(newest, reachable=True)

    def lost(self) -> None:
        """The store is known to be away."""
        self.latest = replace(self.latest, reachable=False)
