"""Public keys of users and their devices, as one reader may see them.

Spec: client-server-api/#post_matrixclientv3keysquery.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hs_common.matrix.public_keys import MASTER
from hs_common.reading.public_keys import told_keys, with_own_signatures
from hs_workers.client.encryption.known_keys import KnownKeys
from hs_workers.client.encryption.local_users import by_server
from hs_workers.client.encryption.remote_lists import RemoteLists


class Querying:
    """Reads keys of local users, and of others what is kept or their servers say."""

    def __init__(self, known: KnownKeys, server_name: str, remote: RemoteLists) -> None:
        self._known = known
        self._server_name = server_name
        self._remote = remote

    async def query(
        self, reader_id: str, wanted: Mapping[str, Sequence[str]], timeout_ms: int | None = None
    ) -> dict[str, Any]:
        """The answer for these device ids by user (none: all); other servers have so much time. Raises
        M_INVALID_PARAM."""
        local, servers = by_server(wanted, self._server_name)
        users, signatures = await self._known.seen_by(reader_id, local)
        answer = told_keys(users, reader_id, wanted, signatures)
        asked = {server: _of(wanted, users) for server, users in servers.items()}
        found, failures = await self._remote.query(asked, timeout_ms)
        found[f"{MASTER}_keys"] = with_own_signatures(found[f"{MASTER}_keys"], signatures)
        for kind, by_user in found.items():
            answer[kind] = {**answer[kind], **by_user}
        return {**answer, "failures": failures}


def _of(wanted: Mapping[str, Sequence[str]], users: Sequence[str]) -> dict[str, list[str]]:
    return {user_id: list(wanted[user_id]) for user_id in users}
