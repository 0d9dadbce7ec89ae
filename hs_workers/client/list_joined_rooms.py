"""The rooms that a user is in.

Spec: client-server API, #room-membership.
"""

from hs_common.http.endpoint import Auth, endpoint, r0, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.storage.queries import Queries
from hs_common.storage.room_members import joined_rooms


class ListJoinedRooms:
    """Joined, not invited."""

    def __init__(self, db: Queries) -> None:
        self._db = db

    @endpoint(
        "GET",
        "/_matrix/client/v3/joined_rooms",
        auth=Auth.USER,
        aliases=(r0, v1),
        spec="client-server-api/#get_matrixclientv3joined_rooms",
    )
    async def get(self, request: Request) -> Reply:
        """Their ids."""
        return {"joined_rooms": await joined_rooms(self._db, request.requester.user_id)}
