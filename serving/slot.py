"""The model slot: holds the Production model, and follows the registry without the callers noticing."""

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic

from churn.errors import ContractViolation, NotReady, Unavailable
from churn.io.registry import ModelVersion, Registry
from churn.settings import Settings
from serving.local_copy import LocalCopies
from serving.rollout import Serving, Trial, terms_of
from serving.served import Served, checked

_LOG = logging.getLogger(__name__)
_Name = tuple[str, str]
"""Version and run: numbers start again where a registry does, runs have names of their own everywhere."""
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
    challenger: str | None = None
    """Why the version at Staging takes no part although it should."""


class ModelSlot:
    """``serving`` and ``watch`` are each swapped in one assignment: a reader sees the old one or the new one, whole."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._registry = Registry(settings)
        self._copies = LocalCopies(settings.data_home / "serving" / settings.registered_model)
        self._refused: dict[_Name, tuple[float, str]] = {}
        """Versions that were not fit to serve, when to try them again, and why."""
        self._last_trial: Trial | None = None
        """Remembers failures while its version takes no part for another reason."""
        self.serving: Serving | None = None
        self.watch = Watch()
        self.failures = 0
        """Versions that could not be taken, and looks at a registry that did not answer."""
        self.from_copy = False
        """The served version was taken from this machine's disk because the registry was away."""

    @property
    def served(self) -> Served | None:
        return self.serving.champion if self.serving else None

    def version_header(self) -> bytes | None:
        """The champion's version as a header has it."""
        return self.serving.champion.version.version.encode() if self.serving else None

    def get(self) -> Serving:
        """The versions to answer with. Raises NotReady."""
        if (serving := self.serving) is None:
            raise NotReady("no model is loaded yet; it is there as soon as a version is promoted to Production")
        return serving

    def shadow(self) -> Served | None:
        """The version that scores beside the champion, for the log."""
        return self.serving.shadow if self.serving else None

    def shadow_failed(self, error: Exception) -> None:
        """Count a failure of the shadow against its trial."""
        if self.serving is not None and self.serving.trial is not None:
            self.serving.trial.failed(error)

    def look(self) -> None:
        """Ask the registry once and take what is new. Keeps the last good model whatever happens."""
        try:
            current = self._registry.current()
        except Exception as e:  # whatever a registry does, callers go on being answered
            self._away(_reason(e))
            return
        production = current.production
        watch = Watch(True, datetime.now(UTC), production.version if production else None, self.watch.error)
        served = self.served
        if production is None:
            gone = (
                f"no version is at stage Production; still serving version {served.version.version}" if served else None
            )
            watch = replace(watch, error=gone)
        elif served is not None and _name(production) == _name(served.version):
            self.from_copy = False
            watch = replace(watch, error=None)
        elif (refused := self._refused_lately(production)) is not None:
            watch = replace(watch, error=f"version {production.version} was not taken: {refused}")
        else:
            watch = replace(watch, error=self._take(production))
            if self.serving is None:
                self._take_copy()
        self._note(replace(watch, challenger=self._try_out(current.staging)))

    def _take(self, version: ModelVersion) -> str | None:
        """Load, check and swap in a version; the reason if it could not be."""
        try:
            served = checked(self._copies.fetch(self._registry, version))
        except Exception as e:  # a bad file fails in as many ways as there are files
            self.failures += 1
            return f"version {version.version} was not taken: {self._refuse(version, e)}"
        self._swap(served)
        try:
            self._copies.remember(version)
        except OSError as e:  # it is served all the same; the next start may have to wait for the registry
            _LOG.warning("the last good version could not be remembered", extra={"error": _reason(e)})
        return None

    def _swap(self, served: Served) -> None:
        before = self.served.version.version if self.served else None
        trial = self.serving.trial if self.serving else None
        if trial is not None and _name(trial.served.version) == _name(served.version):
            trial = None
        self.serving, self.from_copy = Serving(served, trial), False
        _LOG.info("serving a new model", extra={"model_version": served.version.version, "before": before})
        if served.note:
            why = {"model_version": served.version.version, "why": served.note}
            _LOG.warning("the core model answers every request", extra=why)

    def _try_out(self, staging: ModelVersion | None) -> str | None:
        """Let the version at Staging take part as its terms say; why it does not although it should."""
        if self.serving is None:
            return None
        champion, why = self.serving.champion, None
        try:
            trial = self._trial_of(staging, champion)
        except Exception as e:  # whatever is wrong with a challenger, the champion goes on
            trial, why = None, f"version {staging.version if staging else '?'} takes no part: {_reason(e)}"
        if trial is not self.serving.trial:
            self.serving = Serving(champion, trial)
        if why is not None and why != self.watch.challenger:
            self.failures += 1
            _LOG.warning("the challenger takes no part", extra={"error": why})
        return f"version {trial.version} was {trial.withdrawn}" if trial and trial.withdrawn else why

    def _trial_of(self, staging: ModelVersion | None, champion: Served) -> Trial | None:
        """How the version at Staging takes part; None: it does not. Raises where it is not fit to."""
        if staging is None or _name(staging) == _name(champion.version):
            return None
        terms = terms_of(staging, self._settings)
        if not terms:
            return None
        before = self._last_trial
        if before is not None and _name(before.served.version) == _name(staging):
            if before.terms != terms:
                self._last_trial = Trial(before.served, terms, before.failures, before.withdrawn)
            return self._last_trial
        if (refused := self._refused_lately(staging)) is not None:
            raise ContractViolation(refused)
        try:
            served = checked(self._copies.fetch(self._registry, staging))
        except Exception as e:
            self._refuse(staging, e)
            raise
        extra = {"model_version": staging.version, "share": terms.share, "shadow": terms.shadow}
        _LOG.info("a challenger takes part", extra=extra)
        self._last_trial = Trial(served, terms)
        return self._last_trial

    def _refuse(self, version: ModelVersion, error: Exception) -> str:
        """Note that a version was not fit, and why. What a registry did not answer is asked for at the next look."""
        why = _reason(error)
        if not isinstance(error, Unavailable):
            self._refused[_name(version)] = (monotonic() + _SECONDS_BEFORE_ANOTHER_TRY, why)
        return why

    def _refused_lately(self, version: ModelVersion) -> str | None:
        """Why, where it is too early to try it again."""
        until, why = self._refused.get(_name(version), (0.0, ""))
        return why if monotonic() < until else None

    def _away(self, error: str) -> None:
        self.failures += 1
        if self.serving is None:
            self._take_copy()
        self._note(replace(self.watch, reachable=False, looked_at=datetime.now(UTC), error=error))

    def _take_copy(self) -> None:
        """Serve the last good version of this machine's disk, where there is one that passes every check."""
        try:
            package = self._copies.last_good()
            if package is not None:
                self._swap(checked(package))
                self.from_copy = True
        except Exception as e:  # a copy that is not whole is no reason to end: the registry will come back
            _LOG.warning("the local copy was not taken", extra={"error": _reason(e)})

    def _note(self, watch: Watch) -> None:
        """Remember what was found; said in the log when it differs from before, not at every poll."""
        before, self.watch = self.watch, watch
        if watch.error and watch.error != before.error:
            _LOG.warning("the model is not followed", extra={"error": watch.error, "reachable": watch.reachable})
        elif before.error and not watch.error:
            _LOG.info("the model is followed again", extra={"model_version": watch.production})


def _name(version: ModelVersion) -> _Name:
    return version.version, version.run_id


def _reason(error: Exception) -> str:
    """One line; the first one, where a library says a whole page."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:500]
