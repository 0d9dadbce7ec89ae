"""Station: what a changed membership changes besides the state: our users' memberships, the servers in the room.

Written only where something really changes: a new display name costs neither row.
"""

import orjson

from hs_common.matrix.event import Event
from hs_common.matrix.stripped_state import STRIPPED_STATE_KEYS, stripped
from hs_common.replication.items import LocalMembership
from hs_master import tables
from hs_master.rooms.head import RoomDraft
from hs_master.step import Step


class MembershipChanges:
    """What followers are told of a changed membership."""

    __slots__ = ("local", "servers_joined", "servers_left")

    def __init__(self) -> None:
        self.local: list[LocalMembership] = []
        self.servers_joined: list[str] = []
        self.servers_left: list[str] = []


def change_membership(
    step: Step,
    room: RoomDraft,
    user_id: str,
    old: Event | None,
    new: Event | None,
    server_name: str,
    pos: int,
    changes: MembershipChanges,
) -> None:
    """Write what a changed membership changes at `pos`, into `changes` too. None: the state has, or had, none."""
    before = old.membership if old is not None else None
    after = (new.membership or "leave") if new is not None else None
    if after == before:
        return
    server = user_id.partition(":")[2]
    _count(step, room, server, (after == "join") - (before == "join"), changes, pos)
    if server != server_name:
        return
    key = (user_id, room.room_id)
    if new is None or after is None:
        # A state reset took the membership away: there is no event that says so.
        changes.local.append(LocalMembership(user_id, "leave", "", ""))
        step.interval(tables.MEMBERSHIP, key, None, pos)
        return
    shown = _stripped_state(room, new) if after in ("invite", "knock") else None
    changes.local.append(LocalMembership(user_id, after, new.event_id, new.sender, shown))
    values = (after, new.event_id, new.sender, shown, False)
    step.interval(tables.MEMBERSHIP, key, values, pos, existed=before is not None)


def _count(step: Step, room: RoomDraft, server: str, difference: int, changes: MembershipChanges, pos: int) -> None:
    if difference == 0:
        return
    count = room.count_server(server, difference)
    if count == 0:
        step.interval(tables.SERVERS, (room.room_id, server), None, pos)
        changes.servers_left.append(server)
    elif count == difference:
        step.interval(tables.SERVERS, (room.room_id, server), (), pos, existed=False)
        changes.servers_joined.append(server)


def _stripped_state(room: RoomDraft, event: Event) -> str:
    """The room as the invited user may see it before joining, the membership event itself included."""
    shown = [room.entry(key) for key in STRIPPED_STATE_KEYS]
    inviter = room.entry(("m.room.member", event.sender))
    shown += [inviter if inviter is not event else None, event]
    shown_once = [stripped(one) for one in dict.fromkeys(shown) if one is not None]
    return orjson.dumps(shown_once).decode()
