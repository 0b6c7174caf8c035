"""Something looked at again and again, in a thread of its own."""

import logging
import threading
from collections.abc import Callable

from churn.errors import ChurnError

_LOG = logging.getLogger(__name__)


class Poller:
    """Calls ``look`` at once and then every ``seconds``, until stopped. What it raises is logged, once per change."""

    def __init__(self, name: str, look: Callable[[], None], seconds: float) -> None:
        self._look = look
        self._seconds = seconds
        self._stopping = threading.Event()
        self.looked = threading.Event()
        """Set when the first look has ended, well or not."""
        # A daemon: a registry that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends after the look that is under way, and waits for that a moment."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2)

    def _run(self) -> None:
        before = ""
        while not self._stopping.is_set():
            before = self._try(before)
            self.looked.set()
            self._stopping.wait(self._seconds)

    def _try(self, before: str) -> str:
        """Look once; what went wrong, in words."""
        try:
            self._look()
        except Exception as e:  # a thread that dies would freeze what is served, in silence
            if repr(e) != before:
                surprise = not isinstance(e, ChurnError)
                _LOG.warning("%s failed", self._thread.name, extra={"error": str(e)}, exc_info=surprise)
            return repr(e)
        if before:
            _LOG.info("%s works again", self._thread.name)
        return ""
