"""The hash of a decision: what is approved, what is promoted and what is shown have to have the same."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_HASHED = ("challenger", "champion", "promote", "reasons", "evidence")


def evidence_hash(report: Mapping[str, Any]) -> str:
    """sha256 of what a decision says and rests on, the same after its way through JSON.

    Over ``challenger`` ``champion`` ``promote`` ``reasons`` ``evidence``; raises KeyError where one is missing.
    """
    hashed = {name: report[name] for name in _HASHED}
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
