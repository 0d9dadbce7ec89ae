"""Device keys: publishing, reading and claiming them, and whose changed.

Spec: client-server-api/#key-management-api.
"""

from typing import Any, Final

import msgspec

from hs_common.http.endpoint import Auth, Rate, endpoint, r0
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import bad_json, invalid_param
from hs_common.matrix.identifiers import is_device_id, is_short
from hs_common.matrix.public_keys import parse_device_keys, parse_one_time_keys
from hs_common.matrix.tokens import parse_sync_token
from hs_common.reading.device_lists import device_lists_between
from hs_common.storage import log
from hs_common.storage.queries import Queries
from hs_workers.client.encryption.claiming import Claiming
from hs_workers.client.encryption.querying import Querying
from hs_workers.client.encryption.uploading import Uploading

MAXIMUM_DEVICES_ASKED: Final = 20_000
"""Devices named in one request: more than the largest encrypted rooms have."""


class _Upload(msgspec.Struct):
    device_keys: dict[str, Any] | None = None
    one_time_keys: dict[str, Any] | None = None
    fallback_keys: dict[str, Any] | None = None


class _Query(msgspec.Struct):
    device_keys: dict[str, list[str]]
    timeout: int | None = None


class _Claim(msgspec.Struct):
    one_time_keys: dict[str, dict[str, str]]
    timeout: int | None = None


class Keys:
    """Keys of devices."""

    def __init__(self, db: Queries, uploading: Uploading, querying: Querying, claiming: Claiming) -> None:
        self._db = db
        self._uploading = uploading
        self._querying = querying
        self._claiming = claiming

    @endpoint(
        "POST",
        "/_matrix/client/v3/keys/upload",
        auth=Auth.USER_OR_GUEST,
        rate=Rate.KEYS,
        aliases=(r0,),
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3keysupload",
    )
    async def upload(self, request: Request) -> Reply:
        """Publishes keys of the requesting device; says how many one-time keys there are."""
        user_id, device_id = request.requester.user_id, request.requester.device_id
        body = request.body(_Upload)
        if device_id is None:
            raise invalid_param("Keys belong to a device, and this request comes from none")
        identity = None if body.device_keys is None else parse_device_keys(body.device_keys, user_id, device_id)
        one_time = parse_one_time_keys(body.one_time_keys or {}, "one_time_keys")
        fallback = parse_one_time_keys(body.fallback_keys or {}, "fallback_keys")
        if identity is not None:
            await self._uploading.publish(user_id, device_id, identity)
        await self._uploading.add(user_id, device_id, one_time, fallback)
        return {"one_time_key_counts": await self._uploading.counts(user_id, device_id)}

    @endpoint(
        "POST",
        "/_matrix/client/v3/keys/query",
        auth=Auth.USER_OR_GUEST,
        rate=Rate.KEYS,
        aliases=(r0,),
        reads=False,
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3keysquery",
    )
    async def query(self, request: Request) -> Reply:
        """Devices and their keys."""
        body = request.body(_Query)
        wanted = body.device_keys
        if sum(max(1, len(devices)) for devices in wanted.values()) > MAXIMUM_DEVICES_ASKED:
            raise invalid_param(f"At most {MAXIMUM_DEVICES_ASKED} devices can be asked for at once")
        return await self._querying.query(request.requester.user_id, wanted, body.timeout)

    @endpoint(
        "POST",
        "/_matrix/client/v3/keys/claim",
        auth=Auth.USER_OR_GUEST,
        rate=Rate.KEYS,
        aliases=(r0,),
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3keysclaim",
    )
    async def claim(self, request: Request) -> Reply:
        """Takes one key of each device."""
        body = request.body(_Claim)
        wanted = body.one_time_keys
        asked = [(device_id, algorithm) for devices in wanted.values() for device_id, algorithm in devices.items()]
        if len(asked) > MAXIMUM_DEVICES_ASKED:
            raise invalid_param(f"At most {MAXIMUM_DEVICES_ASKED} keys can be claimed at once")
        if not all(is_device_id(device_id) and is_short(algorithm) for device_id, algorithm in asked):
            raise bad_json("`one_time_keys` must have algorithms by device id")
        return await self._claiming.claim(wanted, body.timeout)

    @endpoint(
        "GET",
        "/_matrix/client/v3/keys/changes",
        auth=Auth.USER,
        rate=Rate.KEYS,
        aliases=(r0,),
        reads=False,
        spec="client-server-api/#get_matrixclientv3keyschanges",
    )
    async def changes(self, request: Request) -> Reply:
        """Whose devices changed between two tokens of /sync."""
        since = parse_sync_token(request.query.string("from"))
        upto = parse_sync_token(request.query.string("to"))
        head = await log.head(self._db)
        lists = await device_lists_between(
            self._db, request.requester.user_id, since.position, min(upto.position, head)
        )
        return {"changed": list(lists.changed), "left": list(lists.left)}
