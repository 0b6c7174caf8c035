"""A small process beside the supervisor that ends the services when the supervisor is killed outright.

Its standard input is a pipe whose other end only the supervisor holds: end of file means the supervisor is gone.
Runs as ``python -m deploy.local.guard <run file>``.
"""

import signal
import subprocess
import sys
from pathlib import Path

from deploy.local.processes import RunFile

_GRACE_SECONDS = 3.0


def start(run_file: Path, cwd: Path) -> "subprocess.Popen[bytes]":
    """The guard in a session of its own. Closing its ``stdin`` after clearing the run file lets it go."""
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.local.guard", str(run_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=cwd,
        start_new_session=True,
    )


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    RunFile(Path(sys.argv[1])).end_leftovers(_GRACE_SECONDS)


if __name__ == "__main__":
    main()
