"""Public keys of users and their devices, as one reader may see them.

Spec: client-server-api/#post_matrixclientv3keysquery.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hs_common.reading.public_keys import public_keys
from hs_common.storage.queries import Queries
from hs_workers.client.encryption.local_users import by_server
from hs_workers.client.encryption.remote_keys import RemoteKeys


class Querying:
    """Reads keys of local users, and asks the servers of the others."""

    def __init__(self, db: Queries, server_name: str, remote: RemoteKeys) -> None:
        self._db = db
        self._server_name = server_name
        self._remote = remote

    async def query(self, reader_id: str, wanted: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """The answer for these device ids by user (none: all). Raises M_INVALID_PARAM."""
        local, servers = by_server(wanted, self._server_name)
        answer = await public_keys(self._db, reader_id, local, wanted)
        found, failures = await self._remote.query({server: _of(wanted, users) for server, users in servers.items()})
        for kind, by_user in found.items():
            answer[kind] = {**answer[kind], **by_user}
        return {**answer, "failures": failures}


def _of(wanted: Mapping[str, Sequence[str]], users: Sequence[str]) -> dict[str, list[str]]:
    return {user_id: list(wanted[user_id]) for user_id in users}
