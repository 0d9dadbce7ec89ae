"""Keys are given out, each once, so that somebody can begin an encrypted session.

Spec: client-server-api/#post_matrixclientv3keysclaim.
"""

from collections.abc import Mapping
from typing import Any

from hs_common.reading.claimed_keys import KeyCountHints, claimed_keys
from hs_common.storage.queries import Queries
from hs_workers.client.encryption.local_users import by_server
from hs_workers.client.encryption.remote_keys import RemoteKeys


class Claiming:
    """Gives keys of local users out, and asks the servers of the others."""

    def __init__(self, db: Queries, hints: KeyCountHints, server_name: str, remote: RemoteKeys) -> None:
        self._db = db
        self._hints = hints
        self._server_name = server_name
        self._remote = remote

    async def claim(self, wanted: Mapping[str, Mapping[str, str]], timeout_ms: int | None = None) -> dict[str, Any]:
        """The answer for an algorithm by user and device; other servers have so much time."""
        local, servers = by_server(wanted, self._server_name)
        keys = await claimed_keys(self._db, self._hints, local, wanted)
        asked = {server: {user_id: dict(wanted[user_id]) for user_id in users} for server, users in servers.items()}
        found, failures = await self._remote.claim(asked, timeout_ms)
        return {"one_time_keys": {**keys, **found}, "failures": failures}
