"""Tags of rooms, which are kept as account data of the room.

Spec: client-server API, #room-tagging.
"""

from typing import Any, Final

from hs_common.http.endpoint import Auth, endpoint, r0
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import bad_json, invalid_param
from hs_common.matrix.identifiers import check_room_id, is_short
from hs_workers.client.accounts.account_data import UserAccountData
from hs_workers.client.own_user import own_user_id

TAG: Final = "m.tag"
TAGS_LIMIT: Final = 1_000
"""Tags of one room; a user has a few."""

Content = dict[str, Any]


class Tags:
    """One tag is changed at a time, whatever other devices do meanwhile."""

    def __init__(self, data: UserAccountData) -> None:
        self._data = data

    @endpoint(
        "GET",
        "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags",
        auth=Auth.USER,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3useruseridroomsroomidtags",
    )
    async def list(self, request: Request) -> Reply:
        """All tags of the room."""
        user_id = own_user_id(request, "Cannot get tags of other users")
        content = await self._data.content(user_id, check_room_id(request.path["roomId"]), TAG)
        return {"tags": _tags(content)}

    @endpoint(
        "PUT",
        "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}",
        auth=Auth.USER,
        aliases=(r0,),
        suspended_ok=True,
        spec="client-server-api/#put_matrixclientv3useruseridroomsroomidtagstag",
    )
    async def set(self, request: Request) -> Reply:
        """Adds a tag, or replaces it."""
        user_id = own_user_id(request, "Cannot set tags of other users")
        tag, body = _tag(request), request.json(optional=True)
        order = body.get("order")
        if order is not None and (not isinstance(order, int | float) or isinstance(order, bool)):
            raise bad_json("`order` must be a number")

        def change(content: Content | None) -> Content:
            tags = {**_tags(content), tag: body}
            if len(tags) > TAGS_LIMIT:
                raise invalid_param(f"A room has at most {TAGS_LIMIT} tags")
            return {**(content or {}), "tags": tags}

        await self._data.edit(user_id, check_room_id(request.path["roomId"]), TAG, change)
        return {}

    @endpoint(
        "DELETE",
        "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}",
        auth=Auth.USER,
        aliases=(r0,),
        suspended_ok=True,
        spec="client-server-api/#delete_matrixclientv3useruseridroomsroomidtagstag",
    )
    async def delete(self, request: Request) -> Reply:
        """Removes a tag; one that is not there counts as removed."""
        user_id = own_user_id(request, "Cannot remove tags of other users")
        tag = _tag(request)

        def change(content: Content | None) -> Content | None:
            tags = _tags(content)
            if tag not in tags:
                return None
            return {**(content or {}), "tags": {name: value for name, value in tags.items() if name != tag}}

        await self._data.edit(user_id, check_room_id(request.path["roomId"]), TAG, change)
        return {}


def _tag(request: Request) -> str:
    tag = request.path["tag"]
    if not tag or not is_short(tag):
        raise invalid_param("A tag has 1 to 255 bytes")
    return tag


def _tags(content: Content | None) -> dict[str, Any]:
    """The tags in the content, which a client may have written as account data in any form."""
    tags = (content or {}).get("tags")
    return tags if isinstance(tags, dict) else {}
