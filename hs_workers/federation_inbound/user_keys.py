"""Keys of this server's users, for sessions with users of other servers.

Spec: server-server API, #end-to-end-encryption.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import bad_json, invalid_param
from hs_common.matrix.identifiers import domain_of, is_device_id, is_short, is_user_id
from hs_common.matrix.public_keys import MASTER, SELF_SIGNING
from hs_common.reading.claimed_keys import KeyCountHints, claimed_keys
from hs_common.reading.public_keys import public_keys
from hs_common.storage.queries import Queries

MAXIMUM_DEVICES: Final = 20_000
"""Devices named in one request: more than the largest encrypted rooms have."""
BODY_LIMIT_BYTES: Final = 4 << 20


class _Query(msgspec.Struct):
    device_keys: dict[str, list[str]]


class _Claim(msgspec.Struct):
    one_time_keys: dict[str, dict[str, str]]


class UserKeys:
    """Users of other servers are left out: one asks their servers."""

    def __init__(self, db: Queries, hints: KeyCountHints, server_name: str) -> None:
        self._db = db
        self._hints = hints
        self._server_name = server_name

    @endpoint(
        "POST",
        "/_matrix/federation/v1/user/keys/query",
        auth=Auth.SERVER,
        reads=True,
        body_limit_bytes=BODY_LIMIT_BYTES,
        spec="server-server-api/#post_matrixfederationv1userkeysquery",
    )
    async def query(self, request: Request) -> Reply:
        """Devices and their keys, and keys for cross-signing but the private ones."""
        wanted = request.body(_Query).device_keys
        if sum(max(1, len(devices)) for devices in wanted.values()) > MAXIMUM_DEVICES:
            raise invalid_param(f"At most {MAXIMUM_DEVICES} devices can be asked for at once")
        keys = await public_keys(self._db, self._ours(wanted), wanted)
        return {kind: keys[kind] for kind in ("device_keys", f"{MASTER}_keys", f"{SELF_SIGNING}_keys")}

    @endpoint(
        "POST",
        "/_matrix/federation/v1/user/keys/claim",
        auth=Auth.SERVER,
        body_limit_bytes=BODY_LIMIT_BYTES,
        spec="server-server-api/#post_matrixfederationv1userkeysclaim",
    )
    async def claim(self, request: Request) -> Reply:
        """Takes one key of each device."""
        wanted = request.body(_Claim).one_time_keys
        asked = [(device_id, algorithm) for devices in wanted.values() for device_id, algorithm in devices.items()]
        if len(asked) > MAXIMUM_DEVICES:
            raise invalid_param(f"At most {MAXIMUM_DEVICES} keys can be claimed at once")
        if not all(is_device_id(device_id) and is_short(algorithm) for device_id, algorithm in asked):
            raise bad_json("`one_time_keys` must have algorithms by device id")
        return {"one_time_keys": await claimed_keys(self._db, self._hints, self._ours(wanted), wanted)}

    def _ours(self, user_ids: Iterable[str]) -> list[str]:
        return [user_id for user_id in user_ids if is_user_id(user_id) and domain_of(user_id) == self._server_name]
