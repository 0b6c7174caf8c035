"""The service's own log: one JSON object a line, on standard error. Never a body, a query, a key or a customer."""

import json
import logging
import sys
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonLines(logging.Formatter):
    """Time, level, process, logger, message and whatever was given as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": record.process,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure() -> None:
    """Give the ``serving`` loggers a handler, once; what the process logs elsewhere is left alone."""
    _write("serving", logging.INFO)


def configure_server() -> None:
    """The same for a process of our own: the web server's warnings come as JSON lines too."""
    configure()
    _write("uvicorn", logging.WARNING)  # what it does step by step is said in our own words


def _write(name: str, level: int) -> None:
    log = logging.getLogger(name)
    log.setLevel(level)
    if not any(isinstance(handler.formatter, JsonLines) for handler in log.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines())
        log.addHandler(handler)
