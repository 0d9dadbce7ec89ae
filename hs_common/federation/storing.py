"""Keeping events without state at the master: auth chains, and the state of rooms, in pieces."""

from collections.abc import Sequence

from hs_common.federation.fetching import Room
from hs_common.federation.topology import cited_first, pieces
from hs_common.matrix.received_pdu import ReceivedPdu
from hs_common.replication.federation_calls import Pdu, StoredEvents, StoreEvents
from hs_common.replication.link_interface import CallOptions, Link

BULK = CallOptions(lane="bulk")


class Storing:
    """Gives events to the master."""

    def __init__(self, master: Link) -> None:
        self._master = master

    async def store(self, room: Room, events: Sequence[ReceivedPdu], options: CallOptions = BULK) -> None:
        """Keep events, each after its auth events. What cannot be kept is found missing by whoever needs it."""
        for piece in pieces(cited_first(events, prev_events=False), lambda event: len(event.encoded)):
            call = StoreEvents(
                room_id=room.room_id,
                room_version=room.version.identifier,
                events=[Pdu(event_id=event.event_id, pdu=event.encoded) for event in piece],
            )
            answer = await self._master.call(call, options=options)
            assert isinstance(answer, StoredEvents), "a call is answered by what it names"
