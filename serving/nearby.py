"""Whether a request comes from this very machine: what is answered without a key."""

import ipaddress
import socket
from enum import Enum
from functools import lru_cache

from churn.errors import BadInput


class Arrival(Enum):
    LOOPBACK = "loopback"
    INSIDE = "inside"
    """Without the network: a Unix socket, which the file system guards, or a client in this process."""
    OUTSIDE = "outside"


def is_loopback(address: str) -> bool:
    """Of an IP address, in either version or one written in the other; False for anything else."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return bool((mapped or ip).is_loopback)


def listens_nearby(host: str) -> bool:
    """Whether a server on this address or name is reached from this machine only. Raises BadInput for no such name."""
    try:
        found = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as e:
        raise BadInput(
            f"Cannot listen on {host!r}: {e.strerror or e}. Set CHURN_API_HOST (or --host) to an address of this "
            "machine, for example 127.0.0.1."
        ) from None
    return all(is_loopback(str(address[0])) for *_, address in found)


@lru_cache(maxsize=64)
def arrival(address: str | None) -> Arrival:
    """By what way a request came, from ASGI's ``scope["server"][0]``: the address that the connection was made to."""
    if address is None:  # where the server does not say, nothing is assumed
        return Arrival.OUTSIDE
    try:
        ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return Arrival.INSIDE
    return Arrival.LOOPBACK if is_loopback(address) else Arrival.OUTSIDE


@lru_cache(maxsize=64)
def names_this_machine(host: bytes) -> bool:
    """Of a ``Host`` header. A page of another name that resolves to 127.0.0.1 reaches what listens there, and the
    browser lets it read the answers: only the header tells (DNS rebinding)."""
    text = host.decode("latin-1").strip().lower()
    name = text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0].rstrip(".")
    return name == "localhost" or name.endswith(".localhost") or is_loopback(name)
