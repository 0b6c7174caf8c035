"""The command line of the service: ``python -m serving`` starts it, ``python -m serving new-key`` makes a key."""

import argparse
import logging
import os
import pkgutil
import socket
import sys
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from churn.errors import BadInput, ChurnError
from churn.settings import Settings
from serving import log
from serving.keys import Keys, new_key
from serving.nearby import listens_nearby
from serving.workers import Workers, shared_metrics

_LOG = logging.getLogger("serving.start")  # this module is called __main__
APP = "serving.app:create_app"


def main(arguments: Sequence[str] | None = None) -> int:
    """0 after an end that was asked for, 1 when it could not start or failed."""
    # One customer needs no second thread, and processes share the cores. Read when numpy and xgboost are imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        settings = Settings()
        chosen = _parser(settings).parse_args(arguments)
        if chosen.command == "new-key":
            return _new_key(settings)
        given = {"api_host": chosen.host, "api_port": chosen.port, "api_workers": chosen.workers}
        return _start(settings.model_copy(update=given), chosen.app)
    except ValidationError as error:
        faults = "\n".join(f"- {'.'.join(map(str, x['loc']))}: {x['msg']}" for x in error.errors())
        sys.stderr.write(f"error: a setting is not what it should be (CHURN_* variables, .env):\n{faults}\n")
    except ChurnError as error:
        sys.stderr.write(f"error: {error}\n")
    return 1


def _start(settings: Settings, app: str) -> int:
    log.configure_server()
    reached_at = settings.api_published_on or settings.api_host
    if not Keys(settings.api_keys) and not listens_nearby(reached_at):
        raise BadInput(
            f"The API was to be reached at {reached_at}, where others reach it, and no API key is set. Make one "
            "with `python -m serving new-key` and put its digest into CHURN_API_KEYS, or listen on 127.0.0.1."
        )
    with _listening(settings) as listening:
        host, port = listening.getsockname()[:2]
        at = f"[{host}]" if ":" in host else host
        _LOG.info("starting", extra={"address": f"http://{at}:{port}", "processes": settings.api_workers})
        if settings.api_workers == 1:
            return serve_here(settings, app, listening)
        with shared_metrics():
            return Workers(settings, app, listening).run()


def serve_here(settings: Settings, app: str, listening: socket.socket, *, worker: bool = False) -> int:
    """Serve in this process until it is told to end."""
    # Imported late: the parent of several processes needs none of it.
    from serving.server import serve

    log.configure_server()
    factory: Any = pkgutil.resolve_name(app)
    if serve(settings, factory(settings), listening, worker=worker):
        return 0
    logging.shutdown()
    os._exit(1)  # at once: Python would wait for threads that hang


def _listening(settings: Settings) -> socket.socket:
    """Bound, but not listening: until the application is there, callers are refused and not left waiting."""
    host, port = settings.api_host, settings.api_port
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, _, _, address = found[0]
    bound = socket.socket(family, kind)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if host == "::":  # every address of this machine, the older ones too
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise BadInput(
            f"Cannot listen on {host}:{port}: {error.strerror}. End what listens there, or set CHURN_API_PORT (--port) "
            "or CHURN_API_HOST (--host) to another."
        ) from None
    return bound


def _new_key(settings: Settings) -> int:
    made = new_key()
    digests = ",".join([*settings.api_keys, made.digest])
    sys.stdout.write(
        f"key     {made.key}\n"
        f"digest  {made.digest}\n\n"
        "The key is for the caller, who sends it as `X-API-Key: …` or `Authorization: Bearer …`; it is kept nowhere.\n"
        "The service knows it by its digest, after a restart. The line for .env, with the keys that are set now:\n\n"
        f"CHURN_API_KEYS={digests}\n"
    )
    return 0


def _parser(settings: Settings) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving",
        description="Starts the REST API and its page, or makes an API key.",
        epilog="What is not given here is a setting: CHURN_API_HOST, CHURN_API_PORT, CHURN_API_WORKERS, in the "
        "environment or in .env. Without API keys (CHURN_API_KEYS) only this machine is answered, and another address "
        "is refused at the start. SIGTERM and Ctrl-C end it without losing a request: /readyz says 503, answers go on "
        "and close their connections, for CHURN_DRAIN_SECONDS at most; then what is at work is finished. A second "
        "signal ends it at once.",
    )
    commands = ("serve", "new-key")
    parser.add_argument("command", nargs="?", choices=commands, default="serve", help="what to do; default serve")
    parser.add_argument("--host", default=settings.api_host, help="address to listen on; default %(default)s")
    parser.add_argument("--port", type=_port, default=settings.api_port, help="0 takes a free one; default %(default)s")
    parser.add_argument("--workers", type=_workers, default=settings.api_workers, metavar="N",
                        help="processes; each holds its own copy of the model; default %(default)s")  # fmt: skip
    parser.add_argument("--app", default=APP, metavar="MODULE:FACTORY",
                        help="another application, made from the settings; default %(default)s")  # fmt: skip
    return parser


def _port(text: str) -> int:
    return _whole(text, 0, 65535)


def _workers(text: str) -> int:
    return _whole(text, 1, 1024)


def _whole(text: str, least: int, most: int) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number from {least} to {most}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
