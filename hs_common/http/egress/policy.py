"""Which addresses this server may connect to on behalf of others.

Rules: by default only what is public. An address that holds another one (IPv4 mapped into IPv6, NAT64) is as forbidden
as that one. `deny` of the config goes before `allow`, and that before what is private by itself. It is the address
that is judged, never a name: names change between two looks.

Pure. https://www.iana.org/assignments/iana-ipv4-special-registry, …/iana-ipv6-special-registry
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PRIVATE: Final[tuple[Network, ...]] = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        # Of what is not in 2000::/3 nothing is public; these are the special parts of that.
        "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
    )
)  # fmt: skip
_PUBLIC_IPV6: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")


class EgressPolicy:
    """The policy of one server."""

    def __init__(self, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> None:
        """Networks as `192.168.0.0/16`, or single addresses. Raises ValueError."""
        self._allow = [ip_network(network, strict=False) for network in allow]
        self._deny = [ip_network(network, strict=False) for network in deny]

    def allows(self, address: str) -> bool:
        """Whether to connect to this address; what is none is not allowed."""
        try:
            # A zone ("%eth0") says which link is meant, and only addresses of links have one.
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        meant = list(_meant(parsed))
        if any(_is_in(one, self._deny) for one in meant):
            return False
        return any(_is_in(one, self._allow) for one in meant) or all(_is_public(one) for one in meant)


def _meant(address: Address) -> Iterable[Address]:
    """The address, and the IPv4 address that is really connected to."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            yield address.ipv4_mapped
            return
        if address in _NAT64:
            yield IPv4Address(int(address) & 0xFFFFFFFF)
    yield address


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address not in _PUBLIC_IPV6 and address not in _NAT64:
        return False
    return not _is_in(address, PRIVATE)


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
