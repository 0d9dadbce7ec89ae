"""The state of a room as the answer to a join, or to a question for it, has it: read, checked and kept while it comes.

Of each event only its bytes and what it cites stay in memory. An event that is not as it should be is left out; that
the state is not complete then is found by who enters the room.

Spec: server-server API, #put_matrixfederationv2send_joinroomideventid.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from hs_common.federation.fetching import MAXIMUM_STATE, Fetching, Room
from hs_common.federation.topology import in_order, pieces
from hs_common.matrix.auth_rules import CREATE_KEY
from hs_common.matrix.errors import unknown
from hs_common.matrix.json_lists import JsonListReader
from hs_common.matrix.received_pdu import ReceivedPdu
from hs_common.replication.federation_calls import Pdu, StoreEvents
from hs_common.replication.link_interface import CallOptions, Link

CHECKED_AT_ONCE: Final = 100
"""Events whose hashes are checked before others have their turn: some 10 ms."""
BULK: Final = CallOptions(lane="bulk")


@dataclass(frozen=True, slots=True)
class _Kept:
    encoded: bytes
    judged_by_ids: tuple[str, ...]


class ToldState:
    """One answer. `take` its pieces, `end`, then `store`. `state_name`: what its state is called."""

    def __init__(self, fetching: Fetching, master: Link, room: Room, state_name: str = "state") -> None:
        self._fetching = fetching
        self._master = master
        self._room = room
        self._reader = JsonListReader((state_name, "auth_chain"))
        self._state_name = state_name
        self._unchecked: list[tuple[str, Any]] = []
        self._kept: dict[str, _Kept] = {}
        self._ids: dict[str, str] = {}  # most events cite the same few
        self._state: dict[str, None] = {}
        self._has_create = False
        self.seen = 0
        """Events so far, for who watches."""
        self.left_out = 0
        """Of the state so far: not well-formed, or not signed by who must have."""

    @property
    def members(self) -> dict[str, Any]:
        """What else the answer has."""
        return self._reader.members

    @property
    def state(self) -> list[str]:
        """The ids of the state."""
        return list(self._state)

    async def take(self, data: bytes) -> None:
        """A piece of the answer. Raises MatrixError."""
        await self._read(data, last=False)

    async def end(self) -> None:
        """The answer is complete. Raises MatrixError."""
        await self._read(b"", last=True)
        await self._check()
        if not self._has_create:
            raise unknown("The other server told a state without the room's create event", 502)

    async def store(self, known: Collection[str] = ()) -> None:
        """Give everything that is not known to the master, each event after those by which it is judged."""
        ordered = in_order({event_id: kept.judged_by_ids for event_id, kept in self._kept.items()})
        pdus = [
            Pdu(event_id=event_id, pdu=self._kept[event_id].encoded) for event_id in ordered if event_id not in known
        ]
        self._kept.clear()
        self._ids.clear()
        for piece in pieces(pdus, lambda pdu: len(pdu.pdu)):
            version = self._room.version.identifier
            call = StoreEvents(room_id=self._room.room_id, room_version=version, events=piece)
            await self._master.call(call, options=BULK)

    async def _read(self, data: bytes, last: bool) -> None:
        try:
            for found in self._reader.finish() if last else self._reader.feed(data):
                self._unchecked.append(found)
        except ValueError as error:
            raise unknown(f"The other server's answer cannot be read: {error}", 502) from error
        while len(self._unchecked) >= CHECKED_AT_ONCE:
            await self._check()

    async def _check(self) -> None:
        batch, self._unchecked = self._unchecked[:CHECKED_AT_ONCE], self._unchecked[CHECKED_AT_ONCE:]
        self.seen += len(batch)
        if self.seen > 2 * MAXIMUM_STATE:
            raise unknown("The other server tells more state than a room can have", 502)
        names = (self._state_name, "auth_chain")
        of_state, of_chain = ([value for name, value in batch if name == wanted] for wanted in names)
        checked = await self._fetching.checked(of_state, self._room)
        self.left_out += len(of_state) - len(checked)
        for event in checked:
            self._keep(event)
            if event.event.is_state:
                self._state[event.event_id] = None
                self._has_create = self._has_create or event.event.key == CREATE_KEY
        for event in await self._fetching.checked(of_chain, self._room):
            self._keep(event)

    def _keep(self, event: ReceivedPdu) -> None:
        # A copy: the encoder's own bytes lie in a buffer of up to four times their size.
        encoded = bytes(memoryview(event.encoded))
        judged_by_ids = tuple(self._ids.setdefault(one, one) for one in event.event.judged_by_ids)
        self._kept[event.event_id] = _Kept(encoded, judged_by_ids)
