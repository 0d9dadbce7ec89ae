"""Keys are given out, each once, so that somebody can begin an encrypted session.

Spec: client-server-api/#post_matrixclientv3keysclaim.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from hs_common.storage.one_time_keys import Wanted, claim_fallback_keys, claim_one_time_keys
from hs_common.storage.queries import Queries
from hs_workers.client.encryption.local_users import by_server
from hs_workers.client.encryption.uploading import KeyCountHints


class Claiming:
    """Gives keys out. Users of other servers count as unreachable."""

    def __init__(self, db: Queries, hints: KeyCountHints, server_name: str) -> None:
        self._db = db
        self._hints = hints
        self._server_name = server_name

    async def claim(self, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
        """The answer for an algorithm by user and device: a one-time key, else the fallback key, else nothing."""
        local, servers = by_server(wanted, self._server_name)
        asked = [
            Wanted(user_id, device_id, algorithm)
            for user_id in local
            for device_id, algorithm in wanted[user_id].items()
        ]
        given = await claim_one_time_keys(self._db, asked) if asked else []
        without = sorted(
            set(asked).difference(one.wanted for one in given), key=lambda one: (one.user_id, one.device_id)
        )
        given += await claim_fallback_keys(self._db, without) if without else []
        await self._hints.changed([(one.wanted.user_id, one.wanted.device_id) for one in given])
        keys: dict[str, dict[str, dict[str, orjson.Fragment]]] = {}
        for one in given:
            name = f"{one.wanted.algorithm}:{one.key_id}"
            keys.setdefault(one.wanted.user_id, {})[one.wanted.device_id] = {name: orjson.Fragment(one.key)}
        return {"one_time_keys": keys, "failures": {server: {} for server in servers}}
