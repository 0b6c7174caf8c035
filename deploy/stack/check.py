"""Whether the containers may start: ``python -m deploy.stack.check``, before any of them.

On this machine alone known passwords are good enough. Where others reach the ports, each one has to be set.
"""

import os
import re
import sys
from collections.abc import Mapping

from churn.errors import BadInput
from deploy.stack.passwords import KNOWN, unset
from serving.keys import Keys
from serving.nearby import listens_nearby

_IN_URLS = re.compile(r"[A-Za-z0-9._~-]+")
_URL_PASSWORDS = [name for name in KNOWN if name.endswith(("DB_PASSWORD", "REDIS_PASSWORD"))]


def problems(environment: Mapping[str, str]) -> list[str]:
    """What has to be mended before anything starts, a line each."""
    found = [
        f"{name}: found a character that an address would have to quote, expected letters, digits and . _ ~ -"
        for name in _URL_PASSWORDS
        if (value := environment.get(name)) and not _IN_URLS.fullmatch(value)
    ]
    bind = environment.get("CHURN_BIND") or "127.0.0.1"
    try:
        Keys(filter(None, environment.get("CHURN_API_KEYS", "").split(",")))
        here = listens_nearby(bind)
    except BadInput as e:
        return [*found, str(e)]
    if not here and (names := unset(environment)):
        found.append(
            f"CHURN_BIND is {bind}, where others reach the ports, and these are what everybody knows: "
            f"{', '.join(names)}. Set them in .env (`make secrets` prints fresh ones), or leave CHURN_BIND alone."
        )
    return found


def main() -> int:
    if found := problems(os.environ):
        sys.stderr.write("".join(f"error: {line}\n" for line in found))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
