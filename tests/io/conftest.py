"""Databases for the tests: a SQLite file and a real PostgreSQL, an empty one of each for every test."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a throwaway PostgreSQL cluster, made from the server's own binaries."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if not binaries:
        pytest.skip("PostgreSQL's server is not installed: no /usr/lib/postgresql/*/bin/initdb")
    root = os.geteuid() == 0  # the server refuses to run as root
    if root and not shutil.which("runuser"):
        pytest.skip("PostgreSQL does not run as root, and there is no runuser to become `postgres`")
    as_postgres = ["runuser", "-u", "postgres", "--"] if root else []
    folder, port = Path(tempfile.mkdtemp(prefix="churn-postgres-")), free_port()
    if root:
        shutil.chown(folder, "postgres")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    pg_ctl = [*as_postgres, str(binaries[-1].with_name("pg_ctl")), "-D", str(folder / "data")]

    def run(*command: str) -> None:
        # Not captured: the server inherits the pipes, and one would wait for it to end.
        with (folder.parent / f"{folder.name}.log").open("ab") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log, timeout=60, cwd="/")

    try:
        initdb = [str(binaries[-1]), "-D", str(folder / "data"), "-U", "churn", "--auth=trust", "-E", "UTF8"]
        run(*as_postgres, *initdb, "--no-sync")
        run(*pg_ctl, "-o", options, "-l", str(folder / "server.log"), "-w", "start")
        yield f"postgresql://churn:geheim@127.0.0.1:{port}/postgres"
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            run(*pg_ctl, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)
        (folder.parent / f"{folder.name}.log").unlink(missing_ok=True)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'scores.db'}"
    url = sa.make_url(request.getfixturevalue("postgres"))
    engine = sa.create_engine(url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    name = f"night_{time.monotonic_ns()}"
    with engine.connect() as db:
        db.execute(sa.text(f"create database {name}"))
    engine.dispose()
    return url.set(database=name).render_as_string(hide_password=False)
