"""What steps left under ``reports/`` in the data home, read back for people. Light: no table, no engine is loaded."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from churn.errors import ContractViolation, Unavailable

Page = Literal["drift", "monitoring", "decision"]
"""Reports that are pages too."""

KEPT_INGESTIONS = 20
"""Of one day, the last ones: a landing folder that is looked at every minute must not make its file grow for ever."""


@dataclass(frozen=True)
class KeptReports:
    """Reads reports by their date or version. Each read opens one file, whatever else is kept."""

    folder: Path

    @classmethod
    def of(cls, data_home: Path) -> "KeptReports":
        return cls(data_home / "reports")

    def decision(self, version: str) -> Mapping[str, Any] | None:
        """The comparison of a challenger, as `churn compare` wrote it; None without one."""
        return self._json(self.folder / "decisions" / f"version={version}.json")

    def monitoring(self, as_of: date) -> Mapping[str, Any] | None:
        """Everything that a night's monitoring found."""
        return self._json(self.folder / "monitoring" / f"as_of={as_of}" / "monitor.json")

    def features_validation(self, as_of: date) -> Mapping[str, Any] | None:
        """What Great Expectations said of a night's features (see :class:`churn.io.validation.Validation`)."""
        return self._json(self.folder / "features_validation" / f"as_of={as_of}.json")

    def ingestions(self, day: date) -> list[Mapping[str, Any]]:
        """What came in on a day (UTC), oldest first: counts, and what Great Expectations said of the rows."""
        found = self._json(self.ingestions_path(day))
        return list(found["ingestions"]) if found else []

    def ingestions_path(self, day: date) -> Path:
        return self.folder / "events_validation" / f"on={day}.json"

    def page(self, kind: Page, key: str) -> str | None:
        """The HTML page of a night (``key``: its date) or of a decision (a version); None where none is kept."""
        paths = {
            "drift": self.folder / "drift" / f"as_of={key}" / "drift.html",
            "monitoring": self.folder / "monitoring" / f"as_of={key}" / "monitor.html",
            "decision": self.folder / "decisions" / f"version={key}.html",
        }
        return self._text(paths[kind])

    def _json(self, path: Path) -> Mapping[str, Any] | None:
        if (text := self._text(path)) is None:
            return None
        try:
            found = json.loads(text)
        except ValueError as e:
            raise ContractViolation(f"{path} is not the JSON that was written there: {e}") from e
        if not isinstance(found, dict):
            raise ContractViolation(f"{path} holds a {type(found).__name__}, not a report")
        return found

    def _text(self, path: Path) -> str | None:
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as e:
            raise Unavailable(f"the reports under {self.folder} cannot be read: {e}") from e


def with_ingestion(before: list[Mapping[str, Any]], ingestion: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A day's ingestions with one more; one of the very same files (its ``key``) takes the place of the earlier."""
    return [*(one for one in before if one["key"] != ingestion["key"]), ingestion][-KEPT_INGESTIONS:]
