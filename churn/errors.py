"""Every error the platform raises on purpose.

ChurnError
├── BadInput             the caller asked for something that cannot be: a wrong date, an unknown name
│   └── ContractViolation    a file or a table breaks its contract; running it again will not help
├── NotReady             something that must come first has not happened yet (no events, no model)
└── Unavailable          an outside thing did not answer; running it again may help

The edges translate: the command line to an exit code, Airflow to "do not retry" (BadInput, NotReady) or
"retry" (Unavailable), HTTP to 4xx or 503.
"""


class ChurnError(Exception):
    """Root of the tree. The message says what was found, what was expected and what to try."""


class BadInput(ChurnError):
    """What was asked for cannot be done as asked; asking again changes nothing."""


class ContractViolation(BadInput):
    """Data breaks the contract it promised to keep."""


class NotReady(ChurnError):
    """A step was run before the one it builds on."""


class Unavailable(ChurnError):
    """A registry, a database or a network did not answer in time."""
