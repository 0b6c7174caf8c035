"""What was found in each world, a line of JSON each: a benchmark that was stopped goes on where it was."""

import ast
import hashlib
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from scipy.stats import beta


class Records:
    """The records of one part. Those that other code made, by ``made``, are left alone and not seen."""

    def __init__(self, path: Path, made: str) -> None:
        self._path, self._made = path, made
        self.found: dict[int, dict[str, Any]] = {}
        for line in path.read_text().splitlines() if path.is_file() else ():
            try:
                record = json.loads(line)
            except ValueError:  # the last line of a killed run
                continue
            if record["made"] == made:
                self.found[record["seed"]] = record["found"]

    def add(self, seed: int, found: dict[str, Any]) -> None:
        """Kept from now on."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            # Begins on a line of its own even after a half one.
            file.write("\n" + json.dumps({"seed": seed, "made": self._made, "found": found}))
        self.found[seed] = json.loads(json.dumps(found))


def made_by(*modules: ModuleType, more: str = "") -> str:
    """Names the code: a digest of what the modules do, whatever their comments and docstrings say."""
    digest = hashlib.sha256(more.encode())
    for module in modules:
        tree = ast.parse(inspect.getsource(module))
        for node in ast.walk(tree):
            if isinstance(body := getattr(node, "body", None), list):
                node.body = [part for part in body if not _said_only(part)]  # type: ignore[attr-defined]
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()[:16]


def _said_only(part: ast.AST) -> bool:
    return isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and isinstance(part.value.value, str)


def share(yes: int, of: int, level: float = 0.95) -> tuple[float, float, float]:
    """Share, and its exact interval (Clopper and Pearson 1934)."""
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, yes, of - yes + 1)) if yes else 0.0
    high = float(beta.ppf(1 - tail, yes + 1, of - yes)) if yes < of else 1.0
    return yes / of if of else float("nan"), low, high


def said_share(yes: int, of: int) -> str:
    """As in "3 of 240: 1.3 % (0.3 to 3.6 %)"."""
    value, low, high = (100 * x for x in share(yes, of))
    return f"{yes:,} of {of:,}: {value:.1f} % ({low:.1f} to {high:.1f})"


def median_of(values: Sequence[float]) -> float:
    """The lower median."""
    return sorted(values)[(len(values) - 1) // 2]
