"""Finds who lets a user into a room whose join rule is `restricted` or `knock_restricted`.

Spec: client-server API, #restricted-rooms; server-server API, #restricted-rooms.
"""

from typing import Final

from hs_common.matrix.auth_rules import CREATE_KEY, JOIN_RULES_KEY, POWER_LEVELS_KEY
from hs_common.matrix.errors import MatrixError, forbidden
from hs_common.matrix.event import StateKey
from hs_common.matrix.identifiers import domain_of
from hs_common.matrix.join_rules import allowed_rooms, is_restricted
from hs_common.matrix.power_levels import privileged_creators
from hs_common.reading.room_power import State, levels_of
from hs_common.storage import federated_rooms, room_members, room_state
from hs_common.storage.queries import Queries

LOOKED_AT: Final[list[StateKey]] = [CREATE_KEY, POWER_LEVELS_KEY, JOIN_RULES_KEY]
"""The places of the state that a decision needs."""
CANNOT_AUTHORISE: Final = "M_UNABLE_TO_AUTHORISE_JOIN"
CANNOT_GRANT: Final = "M_UNABLE_TO_GRANT_JOIN"
CONDITIONS_LIMIT: Final = 100
"""Rooms of a join rule that are looked at."""


class RestrictedRooms:
    """For users of this server and of others. `server_name` is this server's."""

    def __init__(self, db: Queries, server_name: str) -> None:
        self._db = db
        self._server_name = server_name

    async def authorising_user(self, room_id: str, user_id: str, state: State) -> str | None:
        """The `join_authorised_via_users_server` of a join by a user who is neither in the room nor invited; None if
        the join rule asks for none.

        403 `M_FORBIDDEN` if no condition is satisfied. Another server may know more where this is 400
        `M_UNABLE_TO_AUTHORISE_JOIN` (a condition cannot be checked here) or 400 `M_UNABLE_TO_GRANT_JOIN` (nobody here
        can let the user in).
        """
        rules = state.get(JOIN_RULES_KEY)
        if rules is None or not is_restricted(rules.content.get("join_rule"), rules.room_version):
            return None
        await self._check_conditions(user_id, allowed_rooms(rules.content)[:CONDITIONS_LIMIT])
        found = await self._inviters(room_id, state)
        if not found:
            raise MatrixError(400, CANNOT_GRANT, "Nobody on this server can let you into this room")
        return found[0]

    async def _check_conditions(self, user_id: str, rooms: list[str]) -> None:
        if domain_of(user_id) == self._server_name:
            if not rooms or not await room_members.is_joined_to_any(self._db, user_id, rooms):
                raise _fails()
            return
        pairs = [(room_id, user_id) for room_id in rooms]
        known = await room_state.rooms_of_server(self._db, self._server_name, rooms)
        memberships = await federated_rooms.memberships(self._db, [pair for pair in pairs if pair[0] in known])
        if "join" in memberships.values():
            return
        if len(known) < len(set(rooms)):
            raise MatrixError(400, CANNOT_AUTHORISE, "This server is not in all rooms that would let you into this one")
        raise _fails()

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


def is_for_another_server(error: MatrixError) -> bool:
    """Whether another server of the room may let the user in."""
    return error.errcode in (CANNOT_AUTHORISE, CANNOT_GRANT)


def _fails() -> MatrixError:
    return forbidden("You are in none of the rooms that would let you into this one")


def _named_users(state: State) -> list[str]:
    """The users whose level is not the default one."""
    levels = state.get(POWER_LEVELS_KEY)
    users = levels.content.get("users") if levels is not None else None
    creators = {*privileged_creators(state[CREATE_KEY]), state[CREATE_KEY].sender}
    return [*creators, *(users if isinstance(users, dict) else ())]
