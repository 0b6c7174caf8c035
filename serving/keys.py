"""API keys: whoever sends one that is known may call. Kept as digests, so that reading the settings gives none away."""

import hmac
import re
import secrets
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from churn.errors import BadInput

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_BYTES = 32

Headers = Iterable[tuple[bytes, bytes]]
"""A request's headers as ASGI gives them: names in lower case."""


class NewKey(NamedTuple):
    """A key, to be given to one caller and kept nowhere else, and the digest that the settings take."""

    key: str
    digest: str


def new_key() -> NewKey:
    key = secrets.token_urlsafe(_BYTES)
    return NewKey(key, _digest(key.encode()).hex())


class Keys:
    """The keys that are accepted; false without any."""

    def __init__(self, digests: Iterable[str]) -> None:
        """``digests``: sha256 in hex. Raises BadInput naming the one that is not, without showing it."""
        given = tuple(digests)
        for place, digest in enumerate(given, 1):
            if not _DIGEST.fullmatch(digest):
                # It may be the key itself, and this message may be logged.
                raise BadInput(
                    f"CHURN_API_KEYS: value {place} of {len(given)} is no sha256: found {len(digest)} characters, "
                    "expected 64 of 0-9 and a-f. `python -m serving new-key` makes a key and the digest to put there."
                )
        self._digests = tuple(bytes.fromhex(digest) for digest in given)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def among(self, headers: Headers) -> bool | None:
        """Whether the request brings a known key; None where it brings none at all."""
        found: bool | None = None
        for name, value in headers:
            if name == b"x-api-key":
                key = value
            elif name == b"authorization" and value[:7].lower() == b"bearer ":
                key = value[7:]
            else:
                continue
            found = self._known(key.strip()) or bool(found)
        return found

    def _known(self, key: bytes) -> bool:
        """Takes as long for a key that is nearly right, or right, as for any other."""
        digest, known = _digest(key), False
        for each in self._digests:
            known |= hmac.compare_digest(each, digest)
        return known


def _digest(key: bytes) -> bytes:
    # A plain hash is right here: 32 random bytes cannot be guessed from it, unlike a password, which needs a slow one.
    return sha256(key).digest()
