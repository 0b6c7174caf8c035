"""Whether something in the background works; said in the log when that changes, not every time."""

import logging


class Standing:
    """What is told of one thing. It works until it fails."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log, self._what = log, what
        self._failed = False

    def fails(self, error: Exception) -> None:
        """It failed: once in the log, however long it goes on."""
        if not self._failed:
            why = f"{type(error).__name__}: {error}".splitlines()[0][:500]
            self._log.warning("%s: failed", self._what, extra={"error": why})
        self._failed = True

    def works(self) -> None:
        """It did what it should."""
        if self._failed:
            self._log.info("%s: works again", self._what)
        self._failed = False
