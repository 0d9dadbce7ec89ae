"""The calls of workers that speak with other servers: events from elsewhere, and what others must sign.

Rules: a PDU in a call has passed the checks that need no state: its format, its hashes (`pdu` is the redacted form
where the content hash did not fit), its signatures. It is canonical JSON without `unsigned`. What the state says of
it, its auth events included, is decided by the master. Every call may be repeated: events are known by their id.
Spec: server-server-api.md#checks-performed-on-receipt-of-a-pdu.
"""

from typing import ClassVar, Literal

import msgspec

from hs_common.replication.call import Answer, Call


class Pdu(msgspec.Struct, frozen=True, kw_only=True):
    """An event of another server, or of ours that others have signed too."""

    event_id: str
    pdu: bytes


class IncomingEvent(Pdu, frozen=True, kw_only=True):
    """An event for a room's timeline.

    `state` is given when prev events cannot be had: the ids of the state before the event, as another server tells it
    (all stored before with `StoreEvents`); the prev events that are not here become a gap in the timeline.
    `has_holes`: the other server named more than anybody gives. What the state lacks of the room's current state, the
    master takes from there: not to know of an entry is not to know that there is none.
    """

    state: list[str] | None = None
    has_holes: bool = False


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event.

    `missing`: prev or auth events are not here, and nothing was kept; they are named. `later`: it cites an event of the
    same call that forked the room, so it comes again in the next call. `known`: it was here before.
    """

    event_id: str
    status: Literal["accepted", "soft_failed", "rejected", "known", "missing", "later"]
    reason: str = ""
    missing_prev: list[str] = []
    missing_auth: list[str] = []


class Received(Answer, frozen=True, kw_only=True):
    verdicts: list[Verdict]  # as the events


class ReceiveEvents(Call, frozen=True, kw_only=True):
    """Take events into a room that this server is in, each after those it cites.

    `introduced`: this server brings them into the room (send_join, send_leave, send_knock, invites, 3pid exchange), so
    it also sends them to the other servers. Errors: M_NOT_FOUND (the room is not known, or nobody of us is in it).
    """

    answer: ClassVar[type[Answer]] = Received
    room_id: str
    events: list[IncomingEvent]
    introduced: bool = False


class StoredEvents(Answer, frozen=True, kw_only=True):
    rejected: list[str]  # of the events, those that their auth events do not allow
    missing: list[str]  # auth events that are not here: the events that cite them were not stored


class StoreEvents(Call, frozen=True, kw_only=True):
    """Keep events without state: auth chains, and the state of rooms that are about to be joined.

    Each after its auth events, which are here already or in the call. At most 200 events and 1 MiB a call.
    """

    answer: ClassVar[type[Answer]] = StoredEvents
    room_id: str
    room_version: str
    events: list[Pdu]


class AdoptRoom(Call, frozen=True, kw_only=True):
    """Enter a room over federation, for the first time or again: its state is what another server says.

    `state` are the ids of the state before `event`, all stored with `StoreEvents`. `event` is the join, with all
    signatures. Its prev events become a gap in the timeline. If this server is in the room already, the event is
    received as any other. Errors: M_FORBIDDEN (the state does not allow the join), M_NOT_FOUND (state is missing).
    """

    room_id: str
    room_version: str
    event: Pdu
    state: list[str]


class SweptEvents(Answer, frozen=True, kw_only=True):
    is_all: bool  # nothing is left to be removed


class SweepStoredEvents(Call, frozen=True, kw_only=True):
    """A join has failed: what was stored for it goes, some of it with each call. Nothing does if the room is known by
    now, or another attempt than this one goes on. To be called until all is gone.
    """

    answer: ClassVar[type[Answer]] = SweptEvents
    room_id: str
    attempt: str


class SetOutOfBandMembership(Call, frozen=True, kw_only=True):
    """A membership of a local user in a room that this server is not in: invited, knocking, rejected, taken back.

    `stripped_state` is a JSON array (clients' form) for invites and knocks. `event` None: a rejection that no other
    server heard of. Errors: M_FORBIDDEN when what is there now does not allow the change (a join; an older event).
    M_BAD_STATE (409): this server is in the room, so the event is one for `ReceiveEvents`.
    """

    room_id: str
    room_version: str
    user_id: str
    membership: Literal["invite", "knock", "leave", "ban"]
    event: Pdu | None
    sender: str
    stripped_state: bytes | None = None


class Template(Answer, frozen=True, kw_only=True):
    room_version: str
    pdu: bytes  # JSON without hashes and signatures


class ComposeTemplate(Call, frozen=True, kw_only=True):
    """What a user of another server signs to join, leave or knock (make_join, make_leave, make_knock), authorised.

    `authorised_via`: the local user who lets him in, of a restricted join. Errors: M_FORBIDDEN, M_NOT_FOUND.
    """

    answer: ClassVar[type[Answer]] = Template
    room_id: str
    user_id: str
    membership: Literal["join", "leave", "knock"]
    authorised_via: str | None = None


class HistoryInserted(Answer, frozen=True, kw_only=True):
    inserted: int


class InsertHistory(Call, frozen=True, kw_only=True):
    """Fill a gap in a room's timeline from its newer end: events in the order from newest to oldest.

    `before_pos` names the gap (`room_gap`). `state` are ids of the state before the oldest event, as far as it is
    needed for reading (create, power levels, join rules, history visibility, members of senders, targets and our
    users), all stored with `StoreEvents`. `wanted` are the prev events that are still not here: empty where the history
    ends or meets what is here. `is_end`: nothing older can be had, so the gap is closed. `in_vain`: how often by now
    nobody knew more, and `again_ms` when it is worth to ask again; nothing of both when something was found.
    Errors: M_NOT_FOUND (no such gap), M_CONFLICT 409 (others filled of it meanwhile: read it again).
    """

    answer: ClassVar[type[Answer]] = HistoryInserted
    room_id: str
    before_pos: int
    next_sub: int  # as read of the gap: the place of the first event
    events: list[Pdu]
    state: list[str]
    wanted: list[str]
    is_end: bool = False
    in_vain: int = 0
    again_ms: int = 0


class WakeDestinations(Call, frozen=True, kw_only=True):
    """Other servers can be reached again: whoever sends to them tries at once."""

    destinations: list[str]


FEDERATION_CALLS: tuple[type[Call], ...] = (
    ReceiveEvents, StoreEvents, AdoptRoom, SetOutOfBandMembership, ComposeTemplate, InsertHistory,
    WakeDestinations, SweepStoredEvents,
)  # fmt: skip
