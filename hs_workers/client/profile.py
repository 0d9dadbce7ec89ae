"""Profiles: what users say about themselves.

Spec: client-server API, #profiles.
"""

from typing import Final

import orjson

from hs_common.http.endpoint import Auth, endpoint, r0
from hs_common.http.reply import Encoded, Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError, not_found
from hs_common.matrix.identifiers import domain_of, parse_user_id
from hs_common.replication.calls import SetProfile
from hs_common.replication.link_interface import Link
from hs_common.storage.profiles import profile, profile_field
from hs_common.storage.queries import Queries
from hs_common.storage.users import account
from hs_workers.client.accounts.profile_fields import DISPLAY_NAME, check_field, field_value
from hs_workers.client.own_user import own_user_id
from hs_workers.client.remote.profiles import RemoteProfiles

NOT_YOURS: Final = "Cannot change the profile of another user"


class Profile:
    """Everybody may read profiles, also of other servers' users where `remote` can ask, and change his own."""

    def __init__(self, db: Queries, master: Link, server_name: str, remote: RemoteProfiles | None = None) -> None:
        self._db = db
        self._master = master
        self._server_name = server_name
        self._remote = remote

    @endpoint(
        "GET",
        "/_matrix/client/v3/profile/{userId}",
        auth=Auth.NONE,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3profileuserid",
    )
    async def get(self, request: Request) -> Reply:
        """The whole profile."""
        if self._remote is not None and self._is_elsewhere(request):
            return await self._remote.profile(request.path["userId"])
        user_id = await self._known_user(request)
        fields = await profile(self._db, user_id)
        return Encoded(orjson.dumps({field: orjson.Fragment(value) for field, value in fields.items()}))

    @endpoint(
        "GET",
        "/_matrix/client/v3/profile/{userId}/{keyName}",
        auth=Auth.NONE,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3profileuseridkeyname",
    )
    async def get_field(self, request: Request) -> Reply:
        """One field."""
        field = request.path["keyName"]
        if self._remote is not None and self._is_elsewhere(request):
            return await self._remote.field(request.path["userId"], field)
        user_id = await self._known_user(request)
        value = await profile_field(self._db, user_id, field)
        if value is None:
            raise not_found("The profile has no such field")
        return Encoded(orjson.dumps({field: orjson.Fragment(value)}))

    @endpoint(
        "PUT",
        "/_matrix/client/v3/profile/{userId}/{keyName}",
        auth=Auth.USER_OR_GUEST,
        aliases=(r0,),
        spec="client-server-api/#put_matrixclientv3profileuseridkeyname",
    )
    async def set(self, request: Request) -> Reply:
        """Sets one field; the others of the body are not looked at."""
        user_id, field = self._own_field(request)
        await self._master.call(SetProfile(user_id=user_id, field=field, value=field_value(field, request.json())))
        return {}

    @endpoint(
        "DELETE",
        "/_matrix/client/v3/profile/{userId}/{keyName}",
        auth=Auth.USER_OR_GUEST,
        aliases=(r0,),
        spec="client-server-api/#delete_matrixclientv3profileuseridkeyname",
    )
    async def delete(self, request: Request) -> Reply:
        """Removes one field; one that is not there counts as removed."""
        user_id, field = self._own_field(request)
        await self._master.call(SetProfile(user_id=user_id, field=field, value=None))
        return {}

    def _is_elsewhere(self, request: Request) -> bool:
        user_id = request.path["userId"]
        parse_user_id(user_id)
        return domain_of(user_id) != self._server_name

    async def _known_user(self, request: Request) -> str:
        """404 `M_NOT_FOUND` for users of other servers, unknown and erased ones; 400 for what is no user id."""
        user_id = request.path["userId"]
        parse_user_id(user_id)
        found = await account(self._db, user_id) if domain_of(user_id) == self._server_name else None
        if found is None or found.erased:
            raise not_found("Profile not found")
        return user_id

    def _own_field(self, request: Request) -> tuple[str, str]:
        user_id, field = own_user_id(request, NOT_YOURS), request.path["keyName"]
        check_field(field)
        if request.requester.is_guest and field != DISPLAY_NAME:
            raise MatrixError(403, "M_GUEST_ACCESS_FORBIDDEN", "Guests can only change their display name")
        return user_id, field
