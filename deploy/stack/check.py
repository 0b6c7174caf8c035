"""Whether the containers may start: ``python -m deploy.stack.check``, before any of them.

On this machine alone known passwords are good enough. Where others reach the ports, each one has to be set.
"""

import os
import re
import sys
from collections.abc import Mapping

from churn.errors import BadInput
from deploy.local.airflow_home import USER
from deploy.stack.passwords import KEYS, KNOWN, unset
from serving.keys import Keys
from serving.nearby import listens_nearby

_IN_URLS = re.compile(r"[A-Za-z0-9._~-]+")
_URL_PASSWORDS = [name for name in KNOWN if name.endswith(("DB_PASSWORD", "REDIS_PASSWORD"))]
_SLOTS = "AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT"
_LEAST_SLOTS = 2
"""What the heaviest task takes. Of a pool with fewer, Airflow never starts it; only the scheduler's log says so."""
_LEAST = 12
"""Characters of a secret, where others reach the ports. A `$` in .env cuts off what follows, unless it is quoted."""


def problems(environment: Mapping[str, str]) -> list[str]:
    """What has to be mended before anything starts, a line each."""
    found = [
        f"{name}: found a character that an address would have to quote, expected letters, digits and . _ ~ -"
        for name in _URL_PASSWORDS
        if (value := environment.get(name)) and not _IN_URLS.fullmatch(value)
    ]
    if USER not in {each.partition(":")[0].strip() for each in environment.get("CHURN_AIRFLOW_USERS", USER).split(",")}:
        found.append(f"CHURN_AIRFLOW_USERS: found no {USER}, expected {USER}:admin among them: the start logs in as it")
    slots = environment.get(_SLOTS, str(_LEAST_SLOTS))
    if not slots.isdecimal() or int(slots) < _LEAST_SLOTS:
        found.append(f"CHURN_TASKS: found {slots}, expected {_LEAST_SLOTS} or more: a heavy task counts for two")
    bind = (environment.get("CHURN_BIND") or "127.0.0.1").strip("[]")
    try:
        Keys(filter(None, environment.get("CHURN_API_KEYS", "").split(",")))
        here = listens_nearby(bind)
    except BadInput as e:
        return [*found, str(e)]
    if not here and (names := unset(environment)):
        found.append(
            f"CHURN_BIND is {bind}, where others reach the ports, and these are what everybody knows: "
            f"{', '.join(names)}. Set them in .env, as docs/operations.md shows, or leave CHURN_BIND alone."
        )
    if not here:
        found += [
            f"{name}: found {len(value)} characters, expected {_LEAST} or more (in .env a $ needs single quotes)"
            for name in (*KNOWN, *KEYS)
            if (value := environment.get(name)) and name not in unset(environment) and len(value) < _LEAST
        ]
    return found


def main() -> int:
    if found := problems(os.environ):
        sys.stderr.write("".join(f"error: {line}\n" for line in found))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
