"""Who is answered by the version at Staging, and when it is not asked any more."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from churn.io.registry import ModelVersion
from churn.settings import Settings
from serving.served import Served

_LOG = logging.getLogger(__name__)
CHAMPION, CHALLENGER = "champion", "challenger"
_FAILURES = 3
"""Requests that a challenger may fail, each answered by the champion, before it is not asked any more."""

T = TypeVar("T")


@dataclass(frozen=True)
class Terms:
    """How a challenger takes part."""

    share: float = 0.0
    """Of the customers, by their key, 0 to 1."""
    shadow: bool = False
    """It scores what the champion answers, for the log alone."""

    def __bool__(self) -> bool:
        return self.share > 0 or self.shadow


def terms_of(version: ModelVersion, settings: Settings) -> Terms:
    """From the version's tags; from the settings what no tag says. Raises ValueError for a tag that says nothing."""
    share = version.tags.get("churn.rollout.share")
    shadow = version.tags.get("churn.rollout.shadow")
    found = settings.challenger_share if share is None else float(share)
    if not 0 <= found <= 1:
        raise ValueError(f"the tag churn.rollout.share of version {version.version} is {share}, not between 0 and 1")
    if shadow not in (None, "true", "false"):
        raise ValueError(f"the tag churn.rollout.shadow of version {version.version} is {shadow}, not true or false")
    return Terms(found, settings.challenger_shadow if shadow is None else shadow == "true")


@dataclass
class Trial:
    """A challenger at work in this process."""

    served: Served
    terms: Terms
    failures: int = 0
    withdrawn: str | None = field(default=None)
    """Why it is not asked any more."""

    @property
    def version(self) -> str:
        return self.served.version.version

    def takes(self, key: str) -> bool:
        """Whether this customer is the challenger's. The same customer is, as long as the version and share last.

        Salted with the version: it is not always the same customers who meet the new model first.
        """
        digest = hashlib.blake2b(f"{self.version}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest) < self.terms.share * 2**64

    def failed(self, error: Exception) -> None:
        """Count a failure; the third ends the trial."""
        self.failures += 1
        why = f"{type(error).__name__}: {error}"
        _LOG.warning("the challenger failed", extra={"model_version": self.version, "error": why[:500]})
        if self.failures >= _FAILURES and self.withdrawn is None:
            self.withdrawn = f"withdrawn after {self.failures} failures, the last one {why}"[:500]
            _LOG.error("the challenger is withdrawn", extra={"model_version": self.version})


@dataclass(frozen=True)
class Serving:
    """The versions at work at one moment: one answer is given by one of them, whole."""

    champion: Served
    trial: Trial | None = None

    def answer(self, key: str | None, ask: Callable[[Served], T]) -> tuple[T, Served, str]:
        """What ``ask`` gets from the version that answers this customer, the version, and its role.

        Whatever the challenger raises, the champion answers.
        """
        trial = self.trial
        if trial is not None and key is not None and trial.withdrawn is None and trial.takes(key):
            try:
                return ask(trial.served), trial.served, CHALLENGER
            except Exception as e:  # a challenger's failure is its own; the caller gets the champion's answer
                trial.failed(e)
        return ask(self.champion), self.champion, CHAMPION

    @property
    def shadow(self) -> Served | None:
        """The version that scores beside the champion, for the log."""
        trial = self.trial
        return trial.served if trial is not None and trial.terms.shadow and trial.withdrawn is None else None
