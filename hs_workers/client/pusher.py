"""Pushers: where a user's notifications go.

Spec: client-server API, #get_matrixclientv3pushers, #post_matrixclientv3pushersset.
"""

from typing import Any

import orjson

from hs_common.email.mail import canonical_address
from hs_common.http.endpoint import Auth, endpoint, r0
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.pushers import EMAIL, PusherKey, WantedPusher, parse_pusher
from hs_common.replication.calls import RemovePusher, SetPusher
from hs_common.replication.link_interface import Link
from hs_common.storage.pushers import Pusher, pushers_of
from hs_common.storage.queries import Queries
from hs_common.storage.threepids import user_of_threepid


class Pushers:
    """An http pusher belongs to the device that set it, and goes with it; one by email is the account's.

    `has_mail`: whether this server sends mail; `allows_http`: see `parse_pusher`.
    """

    def __init__(self, db: Queries, master: Link, *, has_mail: bool, allows_http: bool) -> None:
        self._db = db
        self._master = master
        self._has_mail = has_mail
        self._allows_http = allows_http

    @endpoint(
        "GET",
        "/_matrix/client/v3/pushers",
        auth=Auth.USER,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3pushers",
    )
    async def list(self, request: Request) -> Reply:
        """All pushers of the requester, whichever device set them."""
        return {"pushers": [_json(one) for one in await pushers_of(self._db, request.requester.user_id)]}

    @endpoint(
        "POST",
        "/_matrix/client/v3/pushers/set",
        auth=Auth.USER,
        aliases=(r0,),
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3pushersset",
    )
    async def set(self, request: Request) -> Reply:
        """Makes, changes or deletes a pusher."""
        user_id = request.requester.user_id
        wanted = parse_pusher(request.json(), allows_http=self._allows_http)
        if isinstance(wanted, PusherKey):
            await self._master.call(RemovePusher(user_id=user_id, app_id=wanted.app_id, pushkey=wanted.pushkey))
            return {}
        device_id = request.requester.device_id
        if wanted.kind == EMAIL:
            await self._check_address(user_id, wanted.key.pushkey)
            device_id = None  # mails are for when he is logged in nowhere, too
        await self._master.call(_call(user_id, device_id, wanted))
        return {}

    async def _check_address(self, user_id: str, address: str) -> None:
        """Nobody has mails sent to an address that is not confirmed to be his own."""
        if not self._has_mail:
            raise MatrixError(400, "M_UNKNOWN", "This server sends no notifications by email")
        if await user_of_threepid(self._db, "email", canonical_address(address)) != user_id:
            raise MatrixError(400, "M_THREEPID_NOT_FOUND", "Add this email address to your account first")


def _call(user_id: str, device_id: str | None, wanted: WantedPusher) -> SetPusher:
    return SetPusher(
        user_id=user_id,
        app_id=wanted.key.app_id,
        pushkey=wanted.key.pushkey,
        kind=wanted.kind,
        device_id=device_id,
        app_display_name=wanted.app_display_name,
        device_display_name=wanted.device_display_name,
        profile_tag=wanted.profile_tag,
        lang=wanted.lang,
        data=orjson.dumps(wanted.data),
        append=wanted.append,
    )


def _json(one: Pusher) -> dict[str, Any]:
    fields = {
        "app_id": one.app_id,
        "pushkey": one.pushkey,
        "kind": one.kind,
        "app_display_name": one.app_display_name,
        "device_display_name": one.device_display_name,
        "profile_tag": one.profile_tag,
        "lang": one.lang,
        "data": one.data,
    }
    return {name: value for name, value in fields.items() if value is not None}
