"""Which address a request came from, when proxies that we trust stand before us (pure)."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
# The word for a proxy that speaks through a Unix socket, where a peer has no address.
UNIX = "unix"


def networks(words: Sequence[str]) -> tuple[list[Network], bool]:
    """The trusted networks, and whether the Unix socket is trusted. Raises ValueError for a bad word."""
    return [ip_network(word, strict=False) for word in words if word != UNIX], UNIX in words


def client_address(peer: str, forwarded: str, trusted: Sequence[str]) -> str:
    """The nearest address that is not a trusted proxy's; "unix" for a peer without one.

    `peer` is who connected, `forwarded` the header X-Forwarded-For: each proxy adds on the right whom it
    heard from. What stands left of the first address that we do not trust was written by anybody.
    """
    known, socket = networks(trusted)
    here = _parsed(peer)
    if here is None and not socket:
        return UNIX
    nearest = here
    for word in reversed(forwarded.split(",")):
        if nearest is not None and not any(nearest in network for network in known):
            break
        further = _parsed(word)
        if further is None:
            break
        nearest = further
    return str(nearest) if nearest is not None else UNIX


def _parsed(word: str) -> Address | None:
    """An address, without brackets and port; None for anything else."""
    bare = word.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
