"""Server access control lists: which servers a room lets take part. Pure.

Spec: client-server API, #mroomserver_acl; server-server API, #server-access-control-lists-acls.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from hs_common.matrix import globs
from hs_common.matrix.errors import MatrixError, forbidden
from hs_common.matrix.identifiers import is_ip_literal, parse_server_name

SERVER_ACL: Final = "m.room.server_acl"
MAXIMUM_PATTERNS: Final = 20_000
"""Of a list; an event has no room for more patterns of three characters."""


class ServerAcl:
    """The list of one room, as the content of its m.room.server_acl has it."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._allows_ip_literals = content.get("allow_ip_literals") is not False
        self._denied = [globs.whole(pattern) for pattern in _patterns(content.get("deny"))]
        self._allowed = [globs.whole(pattern) for pattern in _patterns(content.get("allow"))]

    def allows(self, server_name: str) -> bool:
        """Whether the server may take part in the room. What is no server name may not."""
        try:
            host, _ = parse_server_name(server_name)
        except MatrixError:
            return False
        # 2. If the server name is an IP address literal, and allow_ip_literals is present and false, deny.
        if not self._allows_ip_literals and is_ip_literal(host):
            return False
        # 3. If the server name matches an entry in the deny list, deny.
        if any(matches(host) for matches in self._denied):
            return False
        # 4. If the server name matches an entry in the allow list, allow. 5. Otherwise, deny.
        return any(matches(host) for matches in self._allowed)


def denied(server_name: str) -> MatrixError:
    """The answer to a server that the room keeps out."""
    return forbidden(f"The access control list of this room denies {server_name}")


def _patterns(value: object) -> Iterable[str]:
    if not isinstance(value, list):
        return ()
    return (pattern for pattern in value[:MAXIMUM_PATTERNS] if isinstance(pattern, str))
