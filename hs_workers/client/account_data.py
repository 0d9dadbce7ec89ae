"""Account data, global and per room.

Spec: client-server API, #client-config.
"""

from typing import Any, Final

from hs_common.http.endpoint import Auth, endpoint, r0
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError, not_found
from hs_common.matrix.identifiers import check_room_id
from hs_workers.client.accounts.account_data import GLOBAL, UserAccountData
from hs_workers.client.accounts.push_rules import PUSH_RULES, UserPushRules
from hs_workers.client.own_user import own_user_id

MANAGED_BY_SERVER: Final = ("m.fully_read", PUSH_RULES)
"""Types that clients read here, but change elsewhere. Spec: #server-behaviour of account data."""


class AccountData:
    """What a user's clients keep for themselves."""

    def __init__(self, data: UserAccountData, push_rules: UserPushRules) -> None:
        self._data = data
        self._push_rules = push_rules

    @endpoint(
        "GET",
        "/_matrix/client/v3/user/{userId}/account_data/{type}",
        auth=Auth.USER,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3useruseridaccount_datatype",
    )
    async def get(self, request: Request) -> Reply:
        """Global account data."""
        user_id = own_user_id(request, "Cannot get account data of other users")
        if request.path["type"] == PUSH_RULES:
            return await self._push_rules.content(user_id)
        return _found(await self._data.content(user_id, GLOBAL, request.path["type"]))

    @endpoint(
        "PUT",
        "/_matrix/client/v3/user/{userId}/account_data/{type}",
        auth=Auth.USER,
        aliases=(r0,),
        suspended_ok=True,
        spec="client-server-api/#put_matrixclientv3useruseridaccount_datatype",
    )
    async def set(self, request: Request) -> Reply:
        """Replaces global account data."""
        return await self._set(request, GLOBAL)

    @endpoint(
        "GET",
        "/_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}",
        auth=Auth.USER,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3useruseridroomsroomidaccount_datatype",
    )
    async def get_in_room(self, request: Request) -> Reply:
        """Account data of one room."""
        user_id = own_user_id(request, "Cannot get account data of other users")
        return _found(await self._data.content(user_id, _room_id(request), request.path["type"]))

    @endpoint(
        "PUT",
        "/_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}",
        auth=Auth.USER,
        aliases=(r0,),
        suspended_ok=True,
        spec="client-server-api/#put_matrixclientv3useruseridroomsroomidaccount_datatype",
    )
    async def set_in_room(self, request: Request) -> Reply:
        """Replaces account data of one room."""
        return await self._set(request, _room_id(request))

    async def _set(self, request: Request, room_id: str) -> Reply:
        user_id = own_user_id(request, "Cannot set account data of other users")
        data_type = request.path["type"]
        if data_type in MANAGED_BY_SERVER:
            raise MatrixError(405, "M_BAD_JSON", f"Cannot set {data_type} through this API")
        await self._data.set(user_id, room_id, data_type, request.json())
        return {}


def _room_id(request: Request) -> str:
    return check_room_id(request.path["roomId"])


def _found(content: dict[str, Any] | None) -> Reply:
    if content is None:
        raise not_found("Account data not found")
    return content
