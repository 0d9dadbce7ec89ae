"""Single rules of federating, switched off: the simulation must notice each of them.

Where the code has no switch, the method that keeps the rule is replaced by one that does not.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import Any
from unittest import mock
from weakref import WeakKeyDictionary

from hs_common.federation.backfilling import Backfilling
from hs_common.federation.completing import Bundle, Completing
from hs_common.matrix.event import Event
from hs_common.replication.ephemeral import EphemeralState
from hs_common.replication.federation_calls import Verdict
from hs_common.storage.inbound_pdus import StagedPdu
from hs_master.ephemeral import EphemeralDesk
from hs_master.rooms import receive, references
from hs_master.rooms.arrivals import ArrivalReads, Arrivals
from hs_master.rooms.judging import Judgement
from hs_master.rooms.placing import MAXIMUM_EXTREMITIES, Difference, Placement, Placer
from hs_workers.federation_inbound.handshakes import Handshakes
from hs_workers.federation_inbound.remote_receipts import RemoteReceipts
from hs_workers.federation_inbound.room_admission import RoomStanding
from hs_workers.federation_inbound.staging import Staging
from hs_workers.federation_sender.devices import DeviceLane, News
from hs_workers.federation_sender.sender import DestinationSender
from tests.simulation.federation.actions import RESTRICTED, Actions


def _gap_fetch() -> AbstractContextManager[Any]:
    """What an event cites and is not here is never asked for."""

    async def complete(self: Completing, bundle: Bundle, missing: Sequence[Verdict]) -> bool:
        return False

    return mock.patch.object(Completing, "_complete", complete)


def _staging() -> AbstractContextManager[Any]:
    """What was received is kept in memory alone until it is taken in."""

    async def stage(self: Staging, pdus: Sequence[StagedPdu]) -> None:
        return None

    return mock.patch.object(Staging, "_stage", stage)


def _retry() -> AbstractContextManager[Any]:
    """A transaction that was not received is not sent again."""

    async def received(self: DestinationSender, under: Any) -> bool:
        await deliver(self, under)
        return True

    deliver = DestinationSender._deliver
    return mock.patch.object(DestinationSender, "_deliver", received)


def _intent() -> AbstractContextManager[Any]:
    """What was under way when a sender died is put together anew, under another id."""

    async def claim(self: DestinationSender) -> None:
        await claimed(self)
        self._under = None

    claimed = DestinationSender._claim
    return mock.patch.object(DestinationSender, "_claim", claim)


def _log_order() -> AbstractContextManager[Any]:
    """Of what waits for a server the newest comes first."""

    async def newest_first(self: DestinationSender, after: int, head: int) -> Any:
        rows, upto = await read(self, after, head)
        return rows[::-1], upto

    read = DestinationSender._read_events
    return mock.patch.object(DestinationSender, "_read_events", newest_first)


def _message_order() -> AbstractContextManager[Any]:
    """Of messages to devices the newest comes first."""

    async def newest_first(self: DeviceLane, destination: str, after: int, head: int) -> Any:
        news = await read(self, destination, after, head)
        return news._replace(edus=news.edus[::-1])

    read = DeviceLane.next
    return mock.patch.object(DeviceLane, "next", newest_first)


def _one_after_the_other() -> AbstractContextManager[Any]:
    """A transaction that was received is sent once more after the next one."""
    before: WeakKeyDictionary[DestinationSender, Any] = WeakKeyDictionary()

    async def twice(self: DestinationSender, under: Any) -> bool:
        is_received = await deliver(self, under)
        if is_received and self in before:
            self._pdus = None
            await deliver(self, before[self])
        before[self] = under
        return is_received

    deliver = DestinationSender._deliver
    return mock.patch.object(DestinationSender, "_deliver", twice)


def _lets_in() -> AbstractContextManager[Any]:
    """Whose user lets somebody into a restricted room does not sign for it. All rooms that can be are restricted."""

    async def unsigned(self: Handshakes, room: Any, event: Any) -> Any:
        return event

    def restricted(self: Actions, version: str) -> dict[str, Any]:
        rules = rules_of(self, version)
        if version in RESTRICTED and self.rooms:
            allowed = [{"type": "m.room_membership", "room_id": room.room_id} for room in self.rooms]
            rules = {"join_rule": "restricted", "allow": allowed}
        return rules

    rules_of = Actions._rules
    both = ExitStack()
    both.enter_context(mock.patch.object(Actions, "_rules", restricted))
    both.enter_context(mock.patch.object(Handshakes, "_signed_join", unsigned))
    return both


def _acl() -> AbstractContextManager[Any]:
    """Whom a room keeps out is not looked at."""
    return mock.patch.object(RoomStanding, "allows", return_value=True)


def _history() -> AbstractContextManager[Any]:
    """Of what other servers have of the past one page is enough."""

    async def nothing(self: Backfilling, room: Any, event_ids: set[str]) -> set[str]:
        return set()

    return mock.patch.object(Backfilling, "_missing", nothing)


def _known_as_state() -> AbstractContextManager[Any]:
    """Of the past only that counts which others tell as such."""
    return mock.patch.object(Backfilling, "_known_as_state", return_value=[])


def _behind_soft_failed() -> AbstractContextManager[Any]:
    """What is missing before an event that nobody is shown is missed by nobody."""
    return mock.patch("hs_common.reading.missing_events._behind", return_value=())


def _resolution() -> AbstractContextManager[Any]:
    """Where branches disagree the newest counts."""

    async def joined(self: Placer, room: Any, branches: Sequence[Difference], known: Any) -> Difference:
        return branches[0]

    return mock.patch.object(Placer, "_joined", joined)


def _newest_go_on() -> AbstractContextManager[Any]:
    """What an event cites that forks its room stays among the newest events."""

    async def place(self: Placer, room: Any, event: Event, *more: Any, **others: Any) -> Any:
        placed = await placer(self, room, event, *more, **others)
        if not isinstance(placed, Placement):
            return placed
        newest = dict.fromkeys((*room.extremities, *placed.extremities))
        return placed._replace(extremities=(*newest,)[-MAXIMUM_EXTREMITIES:])

    placer = Placer.place
    return mock.patch.object(Placer, "place", place)


def _state_before() -> AbstractContextManager[Any]:
    """An event is judged by the current state of its room, not by the state before it."""

    def judge(room: Any, event: Event, auth: Any, placement: Any) -> Judgement:
        return judged(room, event, auth, None)

    judged = receive.judge
    return mock.patch("hs_master.decisions.receiving.judge", judge)


def _receipts_are_looked_for() -> AbstractContextManager[Any]:
    """Receipts that were told in vain, or while nobody sent, are not told again."""

    async def nothing(self: DestinationSender) -> list[Any]:
        self._receipts_after = None
        return []

    return mock.patch.object(DestinationSender, "_missed_receipts", nothing)


def _receipts_are_noted() -> AbstractContextManager[Any]:
    """Who takes over believes that all was told that users have read."""

    async def claim(self: DestinationSender) -> None:
        await claimed(self)
        self._receipts_after = None

    claimed = DestinationSender._claim
    return mock.patch.object(DestinationSender, "_claim", claim)


def _receipts_wait() -> AbstractContextManager[Any]:
    """A receipt that comes before its event is dropped."""

    async def nothing(self: RemoteReceipts, receipts: Sequence[Any]) -> list[Any]:
        await given(self, receipts)
        return []

    given = RemoteReceipts._give
    return mock.patch.object(RemoteReceipts, "_give", nothing)


def _receipts_are_kept() -> AbstractContextManager[Any]:
    """A receipt that comes before its event waits in memory alone."""

    async def nothing(*asked: Any) -> None:
        return None

    return mock.patch("hs_workers.federation_inbound.remote_receipts.inbound_receipts.keep", nothing)


def _newest_receipt_counts() -> AbstractContextManager[Any]:
    """What a server is told last of what a user has read counts, though it was told of something newer."""

    async def nothing(*asked: Any) -> dict[Any, Any]:
        return {}

    return mock.patch("hs_master.decisions.remote_users.master_reads.receipts_of", nothing)


def _typing_ends() -> AbstractContextManager[Any]:
    """Who does not say that he has stopped types on."""

    def never(self: EphemeralState, now_ms: int) -> list[Any]:
        return [self._tell_room(*one, now_ms) for one in self._rooms.items() if now_ms - one[1].told_ms > 9_000]

    return mock.patch.object(EphemeralState, "_pass_time_of_rooms", never)


def _typing_ends_with_leaving() -> AbstractContextManager[Any]:
    """Who leaves types on until his time is over."""
    return mock.patch.object(EphemeralDesk, "departed")


def _messages_do_not_wait() -> AbstractContextManager[Any]:
    """Messages to devices go one transaction later than the events that wait with them."""
    held: set[tuple[str, int]] = set()

    async def late(self: DeviceLane, destination: str, after: int, upto: int) -> Any:
        news = await read(self, destination, after, upto)
        if not news.edus or (destination, after) in held:
            return news
        held.add((destination, after))
        return News([], after)

    read = DeviceLane.next
    return mock.patch.object(DeviceLane, "next", late)


def _redactions_wait() -> AbstractContextManager[Any]:
    """A redaction is shown when it comes, whether or not what it redacts is here."""
    return mock.patch.object(references, "waits", return_value=False)


def _what_waits_is_looked_for() -> AbstractContextManager[Any]:
    """Nobody looks for redactions that wait when what they redact comes."""
    return mock.patch("hs_master.rooms.waiting_redactions.write_job")


def _redacted_before_it_came() -> AbstractContextManager[Any]:
    """What was redacted as mere state is whole again when it gets its place."""

    async def forgetful(self: ArrivalReads, *asked: Any) -> Arrivals:
        found = await read(self, *asked)
        return {event_id: replace(one, redacted_by=None) for event_id, one in found.items()}

    read = ArrivalReads.of
    return mock.patch.object(ArrivalReads, "of", forgetful)


RULES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "missing events are fetched": _gap_fetch,
    "staged until taken in": _staging,
    "transactions are repeated": _retry,
    "what is under way is fixed": _intent,
    "events go in the order of the log": _log_order,
    "messages go in their order": _message_order,
    "one transaction after the other": _one_after_the_other,
    "who lets somebody in signs for it": _lets_in,
    "who is denied is kept out": _acl,
    "history is read to its beginning": _history,
    "what is known as state is history": _known_as_state,
    "gaps behind soft failed events are noted": _behind_soft_failed,
    "branches are resolved": _resolution,
    "judged by the state before": _state_before,
    "no newest event is followed by another": _newest_go_on,
    "receipts are told again": _receipts_are_looked_for,
    "how far receipts are told is noted": _receipts_are_noted,
    "receipts wait for their events": _receipts_wait,
    "receipts that wait are kept": _receipts_are_kept,
    "the newest receipt counts": _newest_receipt_counts,
    "typing ends": _typing_ends,
    "typing ends with leaving": _typing_ends_with_leaving,
    "messages do not wait for events": _messages_do_not_wait,
    "redactions wait for what they redact": _redactions_wait,
    "redactions that wait are looked for": _what_waits_is_looked_for,
    "what was redacted stays so": _redacted_before_it_came,
}
