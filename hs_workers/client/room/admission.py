"""Whether a user may join a room, as far as the user's own server decides it: guests, and restricted rooms.

All else the authorisation rules decide, at the master.

Spec: client-server API, #restricted-rooms, #guest-access.
"""

from hs_common.matrix.errors import MatrixError, forbidden
from hs_common.matrix.join_rules import allowed_rooms, is_restricted
from hs_common.matrix.power_levels import privileged_creators
from hs_common.storage import room_members
from hs_common.storage.queries import Queries
from hs_workers.client.room.power import CREATE, POWER_LEVELS, State, levels_of

GUEST_ACCESS = ("m.room.guest_access", "")
JOIN_RULES = ("m.room.join_rules", "")
STATE_LOOKED_AT = [CREATE, POWER_LEVELS, JOIN_RULES, GUEST_ACCESS]


def check_guest(state: State) -> None:
    """403 `M_GUEST_ACCESS_FORBIDDEN` unless guests may join the room."""
    event = state.get(GUEST_ACCESS)
    if event is None or event.content.get("guest_access") != "can_join":
        raise MatrixError(403, "M_GUEST_ACCESS_FORBIDDEN", "Guests cannot join this room")


class RestrictedRooms:
    """Finds who lets a user into a room whose join rule is `restricted` or `knock_restricted`."""

    def __init__(self, db: Queries, server_name: str) -> None:
        self._db = db
        self._server_name = server_name

    async def authorising_user(self, room_id: str, user_id: str, state: State) -> str | None:
        """The `join_authorised_via_users_server` of a join by a user who is neither in the room nor invited; None if
        the join rule asks for none. 403 `M_FORBIDDEN` if no condition is satisfied, or nobody can let the user in."""
        rules = state.get(JOIN_RULES)
        if rules is None or not is_restricted(rules.content.get("join_rule"), rules.room_version):
            return None
        allowed = allowed_rooms(rules.content)
        if not allowed or not await room_members.is_joined_to_any(self._db, user_id, allowed):
            raise forbidden("You are in none of the rooms that would let you into this one")
        found = await self._inviters(room_id, state)
        if not found:
            raise forbidden("Nobody on this server can let you into this room")
        return found[0]

    async def _inviters(self, room_id: str, state: State) -> list[str]:
        """A joined user of this server who may invite."""
        levels = levels_of(state)
        named = _named_users(state)
        able = [user_id for user_id in named if levels.user_level(user_id) >= levels.invite]
        found = await room_members.joined_local_users(self._db, room_id, able, [], 1)
        if not found and levels.named("users_default") >= levels.invite:
            unable = [user_id for user_id in named if user_id not in able]
            found = await room_members.joined_local_users(self._db, room_id, None, unable, 1)
        return found


def _named_users(state: State) -> list[str]:
    """The users whose level is not the default one."""
    levels = state.get(POWER_LEVELS)
    users = levels.content.get("users") if levels is not None else None
    creators = {*privileged_creators(state[CREATE]), state[CREATE].sender}
    return [*creators, *(users if isinstance(users, dict) else ())]
