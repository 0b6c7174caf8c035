"""What must hold before anything is started: nobody else runs on this data home, and the ports are free."""

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from churn.errors import ChurnError

HOST = "127.0.0.1"


class CannotStart(ChurnError):
    """Something on this machine is in the way."""


@contextlib.contextmanager
def exclusive(home: Path) -> Iterator[None]:
    """Holds the data home. The lock is the kernel's, so a killed holder leaves none behind."""
    path = home / "run" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise CannotStart(
                f"The platform already runs on {home} (process {holder}).\n"
                "Stop that one first (Ctrl-C in its terminal, or `kill "
                f"{holder}`), or set CHURN_HOME and the ports to run a second one."
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def require_free_ports(ports: Mapping[str, tuple[str, int]]) -> None:
    """``ports``: setting -> (what listens there, port). Names every taken one, with the setting that moves it."""
    lines: list[str] = []
    seen: dict[int, str] = {}
    for setting, (title, port) in ports.items():
        if port in seen:
            lines.append(f"  {port} for {title} is also the port of {seen[port]}: set {setting} to another port.")
        elif not is_free(port):
            lines.append(f"  {port} for {title} is taken{_holder(port)}: end that, or set {setting} to a free port.")
        seen[port] = title
    if lines:
        raise CannotStart("\n".join(["These ports must be free, and nothing was started:", *lines]))


def is_free(port: int) -> bool:
    """Whether a server could listen there now; a port in TIME_WAIT counts as free, as it does for the servers."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        if probe.connect_ex((HOST, port)) == 0:  # macOS lets one bind beside a wildcard listener
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise CannotStart(f"Cannot listen on {HOST}:{port}: {error.strerror}. Use a port above 1023.") from error
    return True


def _holder(port: int) -> str:
    """`` by process 12 (python)`` where the system tells, else nothing."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("inet"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
            if listens and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return ""
