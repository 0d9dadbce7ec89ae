"""Which users are this server's, and which servers the others are of."""

from collections.abc import Iterable

from hs_common.matrix.errors import invalid_param
from hs_common.matrix.identifiers import is_user_id


def by_server(user_ids: Iterable[str], server_name: str) -> tuple[list[str], dict[str, list[str]]]:
    """The local users, and the others by their servers. Raises M_INVALID_PARAM for what is no user id."""
    local: list[str] = []
    servers: dict[str, list[str]] = {}
    for user_id in user_ids:
        check_user_ids([user_id])
        server = user_id.partition(":")[2]
        if server == server_name:
            local.append(user_id)
        else:
            servers.setdefault(server, []).append(user_id)
    return local, servers


def check_user_ids(user_ids: Iterable[str]) -> None:
    """Raises M_INVALID_PARAM for what is no user id."""
    for user_id in user_ids:
        if not is_user_id(user_id):
            raise invalid_param(f"{user_id[:80]!r} is not a user id")
