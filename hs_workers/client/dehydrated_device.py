"""Dehydrated devices, which are not merged yet: clients look for them under their unstable path.

Spec: MSC3814.
"""

from typing import Any, Final

import msgspec

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import bad_json, invalid_param
from hs_common.matrix.identifiers import is_device_id
from hs_common.matrix.public_keys import parse_device_keys, parse_one_time_keys
from hs_workers.client.accounts.tokens import DISPLAY_NAME_LIMIT
from hs_workers.client.encryption.dehydrating import Dehydrated, Dehydrating

PATH: Final = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device"
LARGEST: Final = 2**63 - 1


class _Put(msgspec.Struct):
    device_id: str
    device_data: dict[str, Any]
    device_keys: dict[str, Any]
    initial_device_display_name: str | None = None
    one_time_keys: dict[str, Any] | None = None
    fallback_keys: dict[str, Any] | None = None


class DehydratedDevice:
    """The requester's own."""

    def __init__(self, dehydrating: Dehydrating) -> None:
        self._dehydrating = dehydrating

    @endpoint("PUT", PATH, auth=Auth.USER, rate=Rate.KEYS, spec="MSC3814")
    async def put(self, request: Request) -> Reply:
        """Uploads one, in place of the one before."""
        user_id, body = request.requester.user_id, request.body(_Put)
        name = body.initial_device_display_name
        if not is_device_id(body.device_id) or len(name or "") > DISPLAY_NAME_LIMIT:
            raise invalid_param("`device_id` has 1 to 255 bytes, and the display name is bounded too")
        if not isinstance(body.device_data.get("algorithm"), str):
            raise bad_json("`device_data.algorithm` must be a string")
        uploaded = Dehydrated(
            body.device_id,
            name,
            body.device_data,
            parse_device_keys(body.device_keys, user_id, body.device_id),
            parse_one_time_keys(body.one_time_keys or {}, "one_time_keys"),
            parse_one_time_keys(body.fallback_keys or {}, "fallback_keys"),
        )
        await self._dehydrating.put(user_id, uploaded)
        return {"device_id": body.device_id}

    @endpoint("GET", PATH, auth=Auth.USER, spec="MSC3814")
    async def get(self, request: Request) -> Reply:
        """Whether there is one, and its data."""
        return await self._dehydrating.get(request.requester.user_id)

    @endpoint("DELETE", PATH, auth=Auth.USER, spec="MSC3814")
    async def delete(self, request: Request) -> Reply:
        """Without asking for the password: no session ends by it."""
        return {"device_id": await self._dehydrating.delete(request.requester.user_id)}

    @endpoint("GET", PATH + "/{deviceId}/events", auth=Auth.USER, spec="MSC3814")
    async def events(self, request: Request) -> Reply:
        """Messages to it; `next_batch` only if there are more."""
        query = request.query
        told, more = await self._events(request, query.string("from", None) or query.string("next_batch", None))
        return told if more else {"events": told["events"]}

    @endpoint("POST", PATH + "/{deviceId}/events", auth=Auth.USER, reads=True, spec="MSC3814")
    async def events_by_post(self, request: Request) -> Reply:
        """The same in the form that clients use today: these go on until there are no messages."""
        told, _ = await self._events(request, request.json(optional=True).get("next_batch"))
        return told

    async def _events(self, request: Request, next_batch: object) -> tuple[dict[str, Any], bool]:
        after = 0
        if next_batch is not None:
            if not isinstance(next_batch, str) or not next_batch.isascii() or not next_batch.isdigit():
                raise invalid_param("`next_batch` must come from an answer of this endpoint")
            after = min(int(next_batch[:20]), LARGEST)
        return await self._dehydrating.events(request.requester.user_id, request.path["deviceId"], after)
