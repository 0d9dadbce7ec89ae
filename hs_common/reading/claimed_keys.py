"""One-time keys of this server's devices are given out, each once, to its users and to other servers.

Spec: client-server-api/#post_matrixclientv3keysclaim; server-server API, #post_matrixfederationv1userkeysclaim.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from twisted.logger import Logger

from hs_common.matrix.errors import MatrixError
from hs_common.replication.encryption_calls import HintKeyCounts
from hs_common.replication.link_interface import Link
from hs_common.storage.one_time_keys import Wanted, claim_fallback_keys, claim_one_time_keys
from hs_common.storage.queries import Queries

_log = Logger()

Claims = Mapping[str, Mapping[str, str]]
"""User id → device id → algorithm."""


class KeyCountHints:
    """Tells sync workers that they should count a device's keys again."""

    def __init__(self, master: Link) -> None:
        self._master = master

    async def changed(self, devices: list[tuple[str, str]]) -> None:
        """Of these (user id, device id). Without the hint the counts are read again after a while."""
        if not devices:
            return
        try:
            await self._master.call(HintKeyCounts(devices=devices))
        except MatrixError as error:
            _log.info("a hint about key counts was not given: {error}", error=error)


async def claimed_keys(
    db: Queries, hints: KeyCountHints, user_ids: Sequence[str], wanted: Claims
) -> dict[str, dict[str, dict[str, Any]]]:
    """`one_time_keys` of some of our users: a one-time key of each device, else its fallback key, else nothing."""
    asked = [
        Wanted(user_id, device_id, algorithm)
        for user_id in user_ids
        for device_id, algorithm in wanted[user_id].items()
    ]
    given = await claim_one_time_keys(db, asked) if asked else []
    without = sorted(set(asked).difference(one.wanted for one in given), key=lambda one: (one.user_id, one.device_id))
    given += await claim_fallback_keys(db, without) if without else []
    await hints.changed([(one.wanted.user_id, one.wanted.device_id) for one in given])
    keys: dict[str, dict[str, dict[str, Any]]] = {}
    for one in given:
        name = f"{one.wanted.algorithm}:{one.key_id}"
        keys.setdefault(one.wanted.user_id, {})[one.wanted.device_id] = {name: orjson.Fragment(one.key)}
    return keys
