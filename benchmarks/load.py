"""Requests by the thousand, by wrk: a generator that takes less of the machine than any server it measures."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


class NoGenerator(Exception):
    """wrk is not on this machine."""


@dataclass(frozen=True)
class Load:
    """One run of the generator."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int
    """Answers other than 2xx, and connections that broke."""


def generator() -> str:
    """Where wrk is. Raises NoGenerator saying how to get it."""
    if (found := shutil.which("wrk")) is None:
        raise NoGenerator("wrk is not installed: apt-get install wrk (or your system's way), then run this again")
    return found


def load(url: str, body: Any, *, seconds: float, connections: int, headers: Mapping[str, str] | None = None) -> Load:
    """POST ``body`` as JSON over and over on so many connections that stay open."""
    sent = {"Content-Type": "application/json", **(headers or {})}
    with tempfile.TemporaryDirectory(prefix="churn-load-") as folder:
        script = Path(folder) / "post.lua"
        lines = ['wrk.method = "POST"', f"wrk.body = {json.dumps(json.dumps(body))}"]
        lines += [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in sent.items()]
        script.write_text("\n".join(lines) + "\n")
        command = [generator(), "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "-s", str(script), url]
        said = subprocess.run([*pinned(-1), *command], capture_output=True, text=True, check=True).stdout
    return parsed(said)


def pinned(core: int) -> list[str]:
    """Start of a command that keeps it on one core, where the system can: server and generator do not share one."""
    if shutil.which("taskset") is None or not hasattr(os, "sched_getaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core])] if len(cores) > 1 else []


def parsed(said: str) -> Load:
    """From what wrk prints."""
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    quantiles = {
        q: float(n) * _UNITS[unit] for q, n, unit in re.findall(r"^\s+(\d+)%\s+([\d.]+)(us|ms|s|m)\s*$", said, re.M)
    }
    if rate is None or not {"50", "99"} <= set(quantiles):
        raise ValueError(f"wrk printed something else than expected:\n{said}")
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    failed = int(wrong[1]) if wrong else 0
    failed += sum(map(int, broken.groups())) if broken else 0
    return Load(float(rate[1]), quantiles["50"], quantiles["99"], failed)
