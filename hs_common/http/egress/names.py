"""Hosts and addresses as they stand in URLs and in the names of servers. Pure."""

from ipaddress import ip_address


def is_address(host: str) -> bool:
    """Whether this is an IPv4 address, or an IPv6 address with or without brackets."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def split_port(text: str) -> tuple[str, int | None]:
    """Host (IPv6 without brackets) and port of `host`, `host:port`, `[::1]:port`. Raises ValueError."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{text[:64]!r} is no host")
        return host, _port(rest[1:]) if rest else None
    host, colon, port = text.partition(":")
    return host, _port(port) if colon else None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 65536:
        raise ValueError(f"{text[:16]!r} is no port")
    return int(text)
