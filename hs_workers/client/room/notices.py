"""Writes to users in the server's name: one room for each user, made when there is something to say.

The user is invited, not joined; he may leave once he has joined, and is invited again with the next notice. Who blocks
invites would be shown none, and is brought into the room at once: what the server has to say is not what he blocks.

Spec: client-server API, #server-notices.
"""

from typing import Any, Final

import orjson

from hs_common.config.server_notices import ServerNotices
from hs_common.federation.invitees import blocking_invites
from hs_common.matrix.errors import MatrixError, not_found
from hs_common.replication.calls import AppendedEvents, AppendEvents, Intent, RegisterUser, SetAccountData
from hs_common.replication.keys import client_key
from hs_common.replication.link_interface import Link
from hs_common.storage import room_members, server_notices
from hs_common.storage.account_data import account_data
from hs_common.storage.queries import Queries
from hs_common.storage.users import account
from hs_workers.client.room.creating import Creating, StateEvent, Wishes
from hs_workers.client.room.memberships import MEMBER, Memberships
from hs_workers.client.room.profiles import member_profiles

TAG: Final = "m.server_notice"
TAGS: Final = "m.tag"
READERS_LEVEL: Final = -10
"""Of everybody but the server's own account: nobody answers into the void."""


class Notices:
    """Sends notices, and keeps users from rejecting the invites to their rooms."""

    def __init__(
        self,
        db: Queries,
        master: Link,
        creating: Creating,
        memberships: Memberships,
        settings: ServerNotices,
        server_name: str,
    ) -> None:
        self._db = db
        self._master = master
        self._creating = creating
        self._memberships = memberships
        self._settings = settings
        self.sender = f"@{settings.localpart}:{server_name}"

    @property
    def is_possible(self) -> bool:
        """Whether the operator wants notices at all."""
        return bool(self._settings.localpart)

    async def send(
        self, user_id: str, event_type: str, content: dict[str, Any], state_key: str | None, key: bytes | None
    ) -> str:
        """The event's id. `key`: of a request that may be repeated. 404 `M_NOT_FOUND` for a user who is not here."""
        if not self.is_possible:
            raise MatrixError(400, "M_UNKNOWN", "Server notices are not set up: set server_notices.localpart")
        target = await account(self._db, user_id)
        if target is None or target.deactivated or user_id == self.sender:
            raise not_found(f"There is no user {user_id} here")
        room_id = await self._room(user_id)
        intent = Intent(room_id=room_id, sender=self.sender, type=event_type, content=content, state_key=state_key)
        answer = await self._master.call(AppendEvents(intents=[intent]), key)
        assert isinstance(answer, AppendedEvents)
        return answer.event_ids[0]

    async def check_may_leave(self, user_id: str, room_id: str) -> None:
        """403 `M_CANNOT_LEAVE_SERVER_NOTICE_ROOM` for who would reject the invite to his room."""
        if not self.is_possible or await server_notices.room_of(self._db, user_id) != room_id:
            return
        if await room_members.membership(self._db, user_id, room_id) == "invite":
            error = "You cannot reject this invite: the server writes to you there"
            raise MatrixError(403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM", error)

    async def _room(self, user_id: str) -> str:
        room_id = await server_notices.room_of(self._db, user_id)
        is_blocking = bool(await blocking_invites(self._db, [user_id]))
        if room_id is None:
            room_id = await self._made(user_id, invite=[] if is_blocking else [user_id])
        membership = await room_members.membership(self._db, user_id, room_id)
        if is_blocking and membership != "join":
            await self._bring(room_id, user_id, is_invited=membership == "invite")
        elif membership not in ("invite", "join"):
            await self._memberships.invite(room_id, self.sender, user_id)
        await self._tag(user_id, room_id)
        return room_id

    async def _bring(self, room_id: str, user_id: str, *, is_invited: bool) -> None:
        """Makes him a member, in one step with the invite that the room asks for."""
        profile = (await member_profiles(self._db, [user_id]))[user_id]

        def member(sender: str, membership: str) -> Intent:
            content = {"membership": membership, **profile}
            return Intent(room_id=room_id, sender=sender, type=MEMBER, state_key=user_id, content=content)

        invite = [] if is_invited else [member(self.sender, "invite")]
        await self._master.call(AppendEvents(intents=[*invite, member(user_id, "join")]))

    async def _made(self, user_id: str, invite: list[str]) -> str:
        await self._account()
        settings = self._settings
        pictures = [StateEvent("m.room.avatar", {"url": settings.avatar_url})] if settings.avatar_url else []
        wishes = Wishes(
            name=settings.room_name,
            topic=settings.room_topic or None,
            preset="private_chat",
            invite=invite,
            creation_content={"m.federate": False},
            initial_state=pictures,
            power_level_content_override={"users_default": READERS_LEVEL},
        )
        # Under one key, so that two who write to the user for the first time at once make one room.
        key = client_key(self.sender, None, "POST", "server notices", user_id)
        room_id = await self._creating.create(self.sender, wishes, key)
        return await server_notices.set_room(self._db, user_id, room_id)

    async def _account(self) -> None:
        settings = self._settings
        profile = {"displayname": orjson.dumps(settings.display_name)}
        if settings.avatar_url:
            profile["avatar_url"] = orjson.dumps(settings.avatar_url)
        if await account(self._db, self.sender) is None:
            try:
                await self._master.call(RegisterUser(user_id=self.sender, password_hash=None, profile=profile))
            except MatrixError as error:
                if error.errcode != "M_USER_IN_USE":  # else somebody was quicker
                    raise

    async def _tag(self, user_id: str, room_id: str) -> None:
        """Clients know the room by its tag."""
        stored = await account_data(self._db, user_id, room_id, TAGS)
        content = {} if stored is None else orjson.loads(stored[0])
        tags = content.get("tags")
        tags = tags if isinstance(tags, dict) else {}
        if TAG not in tags:
            tagged = orjson.dumps({**content, "tags": {**tags, TAG: {}}})
            await self._master.call(SetAccountData(user_id=user_id, room_id=room_id, type=TAGS, content=tagged))
