"""Administrators write to users in the server's name.

Spec: client-server API, #server-notices; the paths and forms are those of Synapse's documented admin API, which tools
call: https://element-hq.github.io/synapse/latest/admin_api/server_notices.html.
"""

from typing import Any, Final

import msgspec

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param
from hs_common.matrix.identifiers import is_user_id
from hs_common.replication.keys import client_key
from hs_workers.client.room.event_content import check_content, check_type
from hs_workers.client.room.notices import Notices

_PATH: Final = "/_synapse/admin/v1/send_server_notice"


class _Body(msgspec.Struct):
    user_id: str
    content: dict[str, Any]
    type: str = "m.room.message"
    state_key: str | None = None


class ServerNotices:
    """For administrators of this server."""

    def __init__(self, notices: Notices) -> None:
        self._notices = notices

    @endpoint("POST", _PATH, auth=Auth.ADMIN, spec="Synapse's admin API, server notices")
    async def send(self, request: Request) -> Reply:
        """Sends an event to a user's room of server notices."""
        return await self._send(request, None)

    @endpoint("PUT", _PATH + "/{txnId}", auth=Auth.ADMIN, spec="Synapse's admin API, server notices")
    async def send_once(self, request: Request) -> Reply:
        """The same, once for each transaction id."""
        requester = request.requester
        key = client_key(requester.user_id, requester.transaction_scope, "PUT", _PATH, request.path["txnId"])
        return await self._send(request, key)

    async def _send(self, request: Request, key: bytes | None) -> Reply:
        body = request.body(_Body)
        check_type(body.type)
        if body.state_key is not None:
            check_type(body.state_key)
        check_content(body.content)
        if not is_user_id(body.user_id):
            raise invalid_param("`user_id` must be a user id of this server")
        return {"event_id": await self._notices.send(body.user_id, body.type, body.content, body.state_key, key)}
