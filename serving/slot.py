"""The model slot: holds the Production model, and follows the registry without the callers noticing."""

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic

from churn.errors import NotReady, Unavailable
from churn.io.registry import ModelVersion, Registry
from serving.served import Served, checked

_LOG = logging.getLogger(__name__)
_SECONDS_BEFORE_ANOTHER_TRY = 60.0
"""A version whose files are wrong is not fetched again at every poll."""


@dataclass(frozen=True)
class Watch:
    """What the last look at the registry found."""

    reachable: bool | None = None
    """None: not asked yet."""
    looked_at: datetime | None = None
    production: str | None = None
    """The version at stage Production, served or not."""
    error: str | None = None
    """Why the served model is not the one in production."""


class ModelSlot:
    """``served`` and ``watch`` are each swapped in one assignment: a reader sees the old one or the new one, whole."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._refused: tuple[str, float] = ("", 0.0)
        """The version that was not fit to serve, and when to try it again."""
        self.served: Served | None = None
        self.watch = Watch()

    def get(self) -> Served:
        """The model to answer with. Raises NotReady."""
        if (served := self.served) is None:
            raise NotReady("no model is loaded yet; it is there as soon as a version is promoted to Production")
        return served

    def look(self) -> None:
        """Ask the registry once and take a new Production version. Keeps the last good model whatever happens."""
        try:
            production = self._registry.production()
        except Exception as e:  # whatever a registry does, callers go on being answered
            self._note(replace(self.watch, reachable=False, looked_at=datetime.now(UTC), error=_reason(e)))
            return
        watch = Watch(True, datetime.now(UTC), production.version if production else None, self.watch.error)
        serving = self.served.version.version if self.served else None
        if production is None:
            gone = f"no version is at stage Production; still serving version {serving}" if serving else None
            self._note(replace(watch, error=gone))
        elif production.version == serving:
            self._note(replace(watch, error=None))
        elif not self._refused_lately(production.version):
            self._note(replace(watch, error=self._take(production)))
        else:
            self._note(watch)

    def _take(self, version: ModelVersion) -> str | None:
        """Load, check and swap in a version; the reason if it could not be."""
        try:
            served = checked(self._registry.load(version), version, self._registry.metrics(version))
        except Exception as e:  # a bad file fails in as many ways as there are files
            if not isinstance(e, Unavailable):
                self._refused = (version.version, monotonic() + _SECONDS_BEFORE_ANOTHER_TRY)
            return f"version {version.version} was not taken: {_reason(e)}"
        before = self.served.version.version if self.served else None
        self.served = served
        _LOG.info("serving a new model", extra={"model_version": version.version, "before": before})
        if served.note:
            why = {"model_version": version.version, "why": served.note}
            _LOG.warning("the core model answers every request", extra=why)
        return None

    def _refused_lately(self, version: str) -> bool:
        refused, again_at = self._refused
        return version == refused and monotonic() < again_at

    def _note(self, watch: Watch) -> None:
        """Remember what was found; said in the log when it differs from before, not at every poll."""
        before, self.watch = self.watch, watch
        if watch.error and watch.error != before.error:
            _LOG.warning("the model is not followed", extra={"error": watch.error, "reachable": watch.reachable})
        elif before.error and not watch.error:
            _LOG.info("the model is followed again", extra={"model_version": watch.production})


def _reason(error: Exception) -> str:
    """One line; the first one, where a library says a whole page."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:500]
