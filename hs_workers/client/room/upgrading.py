"""Replacing rooms by new ones: from the old room's state to one call to the master, all or nothing.

The old room's events go to its policy server first, if it has one: then the new room is made before the old one ends.

Spec: client-server API, #room-upgrades.
"""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from hs_common.federation.policy_servers import PolicyServers
from hs_common.federation.sending import Sending
from hs_common.matrix import room_upgrades
from hs_common.matrix.errors import MatrixError, forbidden, invalid_param, unknown, unsupported_room_version
from hs_common.matrix.event import Event
from hs_common.matrix.identifiers import is_user_id
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from hs_common.reading.room_power import levels_of
from hs_common.replication.calls import Intent, NewRoomEvent, RoomUpgraded, UpgradeRoom
from hs_common.replication.link_interface import Link
from hs_common.storage import jobs, room_directory, room_heads, room_state
from hs_common.storage.queries import Queries, Row
from hs_workers.client.room.profiles import member_profiles
from hs_workers.client.room.room_ids import RoomIds
from hs_workers.client.room.room_presets import state_event
from hs_workers.client.room.settling import Settling

TOMBSTONE: Final = "m.room.tombstone"
MAXIMUM_CREATORS: Final = 100
MAXIMUM_CARRIED: Final = 100
"""Bans and children of a space that come with the new room; more follow in the background."""
READING_ATTEMPTS: Final = 5
"""How often the old room is read anew because its state has changed meanwhile."""


class Upgrading:
    """Upgrades rooms."""

    def __init__(
        self,
        db: Queries,
        master: Link,
        sending: Sending,
        policies: PolicyServers,
        settling: Settling,
        room_ids: RoomIds,
    ) -> None:
        self._db = db
        self._master = master
        self._sending = sending
        self._policies = policies
        self._settling = settling
        self._room_ids = room_ids

    async def upgrade(self, room_id: str, user_id: str, version_name: str, creators: Sequence[str]) -> str:
        """The replacement's id. 400 `M_INVALID_PARAM`, `M_UNSUPPORTED_ROOM_VERSION`; 403 `M_FORBIDDEN`."""
        version = ROOM_VERSIONS.get(version_name)
        if version is None:
            raise unsupported_room_version(version_name[:64])
        if version.privileged_creators:
            _check_creators(creators)
        else:
            creators = ()
        for _ in range(READING_ATTEMPTS):
            try:
                replacement = await self._try(room_id, user_id, version, creators)
            except MatrixError as error:
                if error.errcode != "M_CONFLICT":
                    raise
                continue
            await self._settling.moved(user_id, room_id, replacement)
            return replacement
        raise unknown("The room changes too fast to be upgraded; try again", status=503)

    async def _try(self, room_id: str, user_id: str, version: RoomVersion, creators: Sequence[str]) -> str:
        state, pos = await self._state(room_id, user_id)
        aliases = await room_directory.room_aliases(self._db, room_id)
        carried = await jobs.carried_over(self._db, room_id, ("", ""), MAXIMUM_CARRIED + 1)
        policy = await self._policies.of_room(room_id) is not None
        new_alias, old_alias = room_upgrades.split_aliases(state, aliases)
        last = _last_events(state, old_alias)
        tombstone = {"body": "This room has been replaced"}
        call = UpgradeRoom(
            old_room_id=room_id,
            sender=user_id,
            state_pos=pos,
            room_version=version.identifier,
            room_id=None if version.room_id_is_create_hash else self._room_ids.new(),
            create_content=room_upgrades.create_content(state[room_upgrades.CREATE], version, user_id, creators),
            events=[
                state_event("m.room.member", {"membership": "join", **await self._profile(user_id)}, user_id),
                *(state_event(kind, content) for kind, content in room_upgrades.carried_state(state, version)),
                *([] if new_alias is None else [state_event("m.room.canonical_alias", new_alias)]),
                *_carried(carried[:MAXIMUM_CARRIED]),
                # Last, since until then the creator may do all that the events before need.
                state_event(
                    "m.room.power_levels",
                    room_upgrades.carried_power_levels(state, version, {user_id, *creators}),
                ),
            ],
            tombstone=None if policy else tombstone,
            last_events=[] if policy else last,
            aliases=aliases,
            is_public=bool(await room_directory.is_published(self._db, room_id)),
            carry_on=len(carried) > MAXIMUM_CARRIED,
        )
        answer = await self._master.call(call)
        assert isinstance(answer, RoomUpgraded)
        if policy:
            await self._end(
                room_id, user_id, [state_event(TOMBSTONE, {**tombstone, "replacement_room": answer.room_id})]
            )
            await self._end(room_id, user_id, last)
        return answer.room_id

    async def _state(self, room_id: str, user_id: str) -> tuple[dict[tuple[str, str], Event], int]:
        """The state without members, if the user may end the room, and its position. 403 `M_FORBIDDEN`."""
        version = await room_state.room_version(self._db, room_id)
        positions = await room_heads.state_positions(self._db, [room_id])
        if version is None or not positions or positions[0][1] is None:
            raise forbidden("You are not in this room")
        pos: int = positions[0][1]
        rows = [
            *await room_state.without_members(self._db, room_id, pos),
            *await room_state.entries(self._db, room_id, [("m.room.member", user_id)], pos),
        ]
        state = {
            (event_type, state_key): Event.from_pdu(orjson.loads(json), ROOM_VERSIONS[version], event_id)
            for event_type, state_key, event_id, json in rows
        }
        member = state.get(("m.room.member", user_id))
        if member is None or member.membership != "join":
            raise forbidden("You are not in this room")
        levels = levels_of(state)
        if levels.user_level(user_id) < levels.event_level(TOMBSTONE, is_state=True):
            raise forbidden("You may not upgrade this room")
        return state, pos

    async def _profile(self, user_id: str) -> dict[str, Any]:
        return (await member_profiles(self._db, [user_id]))[user_id]

    async def _end(self, room_id: str, user_id: str, events: Sequence[NewRoomEvent]) -> None:
        for event in events:
            intent = Intent(
                room_id=room_id, sender=user_id, type=event.type, state_key=event.state_key, content=event.content
            )
            try:
                await self._sending.send(intent)
            except MatrixError:
                if event.type == TOMBSTONE:
                    raise


def _last_events(state: room_upgrades.State, canonical_alias: dict[str, Any] | None) -> list[NewRoomEvent]:
    """What the old room still hears: its aliases are gone, and it is closed."""
    levels = room_upgrades.closing_power_levels(state)
    return [
        *([] if canonical_alias is None else [state_event("m.room.canonical_alias", canonical_alias)]),
        *([] if levels is None else [state_event("m.room.power_levels", levels)]),
    ]


def _carried(rows: Sequence[Row]) -> list[NewRoomEvent]:
    contents = [(row, room_upgrades.carried_entry(row[0], orjson.loads(row[2])["content"])) for row in rows]
    return [state_event(row[0], content, row[1]) for row, content in contents if content is not None]


def _check_creators(creators: Sequence[str]) -> None:
    if len(creators) > MAXIMUM_CREATORS:
        raise invalid_param(f"A room has at most {MAXIMUM_CREATORS} additional creators")
    for user_id in creators:
        if not is_user_id(user_id):
            raise invalid_param("`additional_creators` must be user ids")
