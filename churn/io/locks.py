"""Waiting for the lake's locks: a removal gives way to the step at work, for a while."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from churn.errors import Unavailable
from churn.io.lake import Lake

PATIENCE = 30.0
"""Seconds. A longer step is not waited for: whoever removes something comes again."""


@contextmanager
def patient_lock(lake: Lake, name: str) -> Iterator[None]:
    """As ``lake.lock``, but tried again for a while. Raises Unavailable when another process keeps it longer."""
    end = time.monotonic() + PATIENCE
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(lake.lock(name))
                break
            except Unavailable:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
        yield
