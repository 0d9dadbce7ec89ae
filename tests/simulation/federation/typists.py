"""Who types, as clients of a server are shown: nobody who has left or whose server is kept out, and nobody for ever."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from hs_common.matrix.identifiers import domain_of
from hs_common.replication.ephemeral import Typing, decode_message
from hs_master.intervals import ALWAYS
from tests.simulation.federation.tables import SERVER_ACL_KEY

if TYPE_CHECKING:
    from tests.simulation.federation.homeserver import Homeserver
    from tests.simulation.federation.world import World

LEFT_S: Final = 2.5
"""Until a master knows that what it wrote is committed."""
DENIED_S: Final = 65.0
"""A worker may have lost the way to its log for half a minute, and who typed by then types for as long."""


class Typists:
    """Listens to what the masters of a server tell of typing."""

    def __init__(self, home: "Homeserver") -> None:
        self._home = home

    def told(self, body: bytes) -> None:
        """A value."""
        message = decode_message(body)
        if not isinstance(message, Typing):
            return
        for user_id in message.user_ids:
            self._home.world.counts["typing of others" if not self._home.is_ours(user_id) else "typing"] += 1
            self._check(message.room_id, user_id)

    def _check(self, room_id: str, user_id: str) -> None:
        home, now = self._home, self._home.world.clock.now
        memberships = home.tables.state[room_id].get(("m.room.member", user_id))
        if not memberships:
            home.world.violation(f"{user_id}, who never was in {room_id}, is shown typing")
        elif memberships[-1].to_pos != ALWAYS or memberships[-1].membership != "join":
            last = memberships[-1]
            left = now - home.committed_at(last.from_pos if last.to_pos == ALWAYS else last.to_pos)
            if left > LEFT_S:
                home.world.violation(f"{user_id} is shown typing in {room_id}, {left:.1f} s after he left it")
        if not home.is_ours(user_id) and home.tables.denies(domain_of(user_id), room_id):
            row = home.tables.current(room_id, *SERVER_ACL_KEY)
            if row is not None and now - home.committed_at(row.from_pos) > DENIED_S:
                home.world.violation(f"{user_id} is shown typing in {room_id}, which keeps his server out")


def failures(world: "World") -> Iterator[str]:
    """Who types when everything is over."""
    for home in world.homes:
        for room in world.actions.rooms:
            shown = () if home.inbound is None else home.inbound.shown.typing_in(room.room_id)
            if shown:
                yield f"{home.name} shows for ever that {shown} type in {room.room_id}"
