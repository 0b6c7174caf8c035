"""``python -m deploy.airflow_metrics``: Airflow pushes to /v1/metrics, Prometheus asks for /metrics."""

import argparse
import gzip
import io
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from deploy.airflow_metrics.pushed import points
from deploy.airflow_metrics.totals import Totals

_LOG = logging.getLogger(__name__)
_MOST_BYTES = 4_000_000
_SAVE_SECONDS = 10.0


class Server(ThreadingHTTPServer):
    """``state``: where the sums are kept over restarts."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], state: Path) -> None:
        super().__init__(address, Handler)
        self.totals, self.lock = Totals(), threading.Lock()
        self._state = state
        self._ending = threading.Event()
        self._saver = threading.Thread(target=self._save_now_and_then)
        if state.exists():
            try:
                self.totals.load(state)
            except ValueError as error:
                _LOG.warning("starting from nothing: %s", error)

    def run(self) -> None:
        """Until ``shutdown``."""
        self._saver.start()
        try:
            self.serve_forever()
        finally:
            self._ending.set()
            self._saver.join()
            self.server_close()

    def _save_now_and_then(self) -> None:
        while not self._ending.wait(_SAVE_SECONDS):
            self._save()
        self._save()

    def _save(self) -> None:
        with self.lock:
            try:
                self.totals.save(self._state)
            except OSError as error:  # a full disk: what is known is still told
                _LOG.warning("%s could not be written: %s", self._state, error)


class Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 10

    def do_POST(self) -> None:
        if self.path != "/v1/metrics":
            self._answer(HTTPStatus.NOT_FOUND)
            return
        try:
            pushed = points(self._body())
        except (ValueError, OSError, EOFError) as error:
            self._answer(HTTPStatus.BAD_REQUEST, f"{error}\n")
            return
        with self.server.lock:
            self.server.totals.add(pushed)
        self._answer(HTTPStatus.OK)

    def do_GET(self) -> None:
        if self.path == "/metrics":
            with self.server.lock:
                text = self.server.totals.text()
            self._answer(HTTPStatus.OK, text, "text/plain; version=0.0.4; charset=utf-8")
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    def _body(self) -> bytes:
        length = int(self.headers.get("Content-Length", 0))
        if not 0 <= length <= _MOST_BYTES:
            raise ValueError(f"a push of {length} bytes: at most {_MOST_BYTES} are taken")
        body = self.rfile.read(length)
        if self.headers.get("Content-Encoding") != "gzip":
            return body
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as packed:
            body = packed.read(_MOST_BYTES + 1)
        if len(body) > _MOST_BYTES:
            raise ValueError(f"a push of more than {_MOST_BYTES} bytes")
        return body

    def _answer(self, status: HTTPStatus, text: str = "", kind: str = "text/plain; charset=utf-8") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """A line for each push would be all that the log holds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m deploy.airflow_metrics", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9464)
    parser.add_argument("--state", type=Path, required=True, metavar="FILE", help="where sums are kept over restarts")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    chosen = parser.parse_args(arguments)
    server = Server((chosen.host, chosen.port), chosen.state)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
