"""An event of a room: a PDU together with its id, its parts under typed names.

An Event is immutable and says nothing about acceptance: whether it was rejected, soft failed or redacted is kept by
those who decided it. `Event.from_pdu` expects a PDU whose format was checked (`event_format.check_event_format`).

Spec: server-server API, #pdus; rooms/v1 to v12, #event-format.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hs_common.matrix import hashes
from hs_common.matrix.room_versions import RoomVersion

# A place in the room's state: (type, state_key).
StateKey = tuple[str, str]
# The state of a room at some point: for each place the event id.
StateMap = dict[StateKey, str]


class Event(msgspec.Struct, frozen=True, eq=False, weakref=True):
    """One event. Compared by identity; compare `event_id` to know whether two are the same event."""

    event_id: str
    room_version: RoomVersion
    # The PDU as it is federated. Not to be changed.
    pdu: Mapping[str, Any]
    # Also set for the create event of a version 12 room, whose PDU has none.
    room_id: str
    sender: str
    type: str
    # None: not a state event.
    state_key: str | None
    content: Mapping[str, Any]
    depth: int
    origin_server_ts: int
    prev_event_ids: tuple[str, ...]
    auth_event_ids: tuple[str, ...]
    # The event that an m.room.redaction redacts, wherever this room version puts it.
    redacts: str | None

    @property
    def is_state(self) -> bool:
        """Whether this is a state event."""
        return self.state_key is not None

    @property
    def key(self) -> StateKey:
        """The place of a state event in the room's state."""
        assert self.state_key is not None, "only a state event has a place in the state"
        return (self.type, self.state_key)

    @property
    def membership(self) -> str | None:
        """`content.membership` if it is a string: that of `state_key`, in m.room.member."""
        membership = self.content.get("membership")
        return membership if isinstance(membership, str) else None

    @property
    def judged_by_ids(self) -> tuple[str, ...]:
        """The events by which it is authorised: its auth events, and the create event where the room's id names it."""
        if self.room_version.create_in_auth_events or self.type == "m.room.create":
            return self.auth_event_ids
        return ("$" + self.room_id[1:], *self.auth_event_ids)

    @classmethod
    def from_pdu(cls, pdu: Mapping[str, Any], room_version: RoomVersion, event_id: str | None = None) -> "Event":
        """The event of a PDU whose format was checked; the id is computed when it is not known."""
        if event_id is None:
            event_id = hashes.event_id(pdu, room_version)
        return cls(
            event_id=event_id,
            room_version=room_version,
            pdu=pdu,
            room_id=hashes.room_id(pdu, room_version, event_id),
            sender=pdu["sender"],
            type=pdu["type"],
            state_key=pdu.get("state_key"),
            content=pdu["content"],
            depth=pdu["depth"],
            origin_server_ts=pdu["origin_server_ts"],
            prev_event_ids=_event_ids(pdu["prev_events"], room_version),
            auth_event_ids=_event_ids(pdu["auth_events"], room_version),
            redacts=_redacts(pdu, room_version),
        )


def _event_ids(references: Sequence[Any], room_version: RoomVersion) -> tuple[str, ...]:
    if room_version.event_id_is_hash:
        return tuple(references)
    return tuple(reference[0] for reference in references)


def _redacts(pdu: Mapping[str, Any], room_version: RoomVersion) -> str | None:
    if pdu["type"] != "m.room.redaction":
        return None
    redacts = (pdu["content"] if room_version.redacts_in_content else pdu).get("redacts")
    return redacts if isinstance(redacts, str) else None
