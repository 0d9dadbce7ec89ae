"""What servers sent each other: one transaction after the other, each the same however often it is sent, in the order
of the log, and nothing under two ids."""

from collections.abc import Iterator
from itertools import pairwise

import orjson

from hs_common.matrix import hashes
from hs_common.matrix.room_versions import ROOM_VERSIONS
from tests.simulation.federation.received import SEND
from tests.simulation.federation.world import World

Sent = tuple[str, list[str]]  # a transaction's id, its events


def failures(world: World) -> Iterator[str]:
    positions = {home.name: {event_id: pos for _, pos, event_id, _ in home.tables.outgoing} for home in world.homes}
    for (origin, destination), asked in _sent(world).items():
        names = f"{origin} to {destination}"
        first: dict[str, list[str]] = {}
        for (before, _), (txn_id, events) in pairwise([("", []), *asked]):
            if first.setdefault(txn_id, events) != events:
                yield f"{names}: {txn_id} is repeated with other events"
            elif txn_id != before and first[txn_id] is not events:
                yield f"{names}: {txn_id} is sent again after the next one"
        events = [event_id for told in first.values() for event_id in told]
        if len(set(events)) < len(events):
            yield f"{names}: an event is sent under two transaction ids"
        places = [positions[origin][event_id] for event_id in events]
        if places != sorted(places):
            yield f"{names}: events are not sent in the order of the log"


def _sent(world: World) -> dict[tuple[str, str], list[Sent]]:
    """By origin and destination, in the order in which they left."""
    versions = {room.room_id: ROOM_VERSIONS[room.version] for room in world.actions.rooms}
    sent: dict[tuple[str, str], list[Sent]] = {}
    for destination, question in world.wire.asked:
        if question.uri.startswith(SEND):
            pdus = orjson.loads(question.body or b"")["pdus"]
            # By their ids: what was redacted meanwhile is repeated redacted.
            ids = [hashes.event_id(pdu, versions[pdu["room_id"]]) for pdu in pdus]
            sent.setdefault((question.origin, destination), []).append((question.uri.removeprefix(SEND), ids))
    return sent
