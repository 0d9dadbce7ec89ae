"""What servers sent each other: one transaction after the other, each the same however often it is sent, in the order
of the log, and nothing under two ids; messages to devices never after an event that is younger."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import orjson

from hs_common.matrix import hashes
from hs_common.matrix.room_versions import ROOM_VERSIONS
from tests.simulation.federation.received import SEND
from tests.simulation.federation.world import World


class Sent(NamedTuple):
    """A transaction: its id, its events, its messages to devices."""

    txn_id: str
    events: list[str]
    messages: list[str]


def failures(world: World) -> Iterator[str]:
    positions = {home.name: {event_id: pos for _, pos, event_id, _ in home.tables.outgoing} for home in world.homes}
    by_name = {home.name: home for home in world.homes}
    for (origin, destination), asked in _sent(world).items():
        names = f"{origin} to {destination}"
        first: dict[str, Sent] = {}
        for before, one in pairwise([Sent("", [], []), *asked]):
            if first.setdefault(one.txn_id, one) != one:
                yield f"{names}: {one.txn_id} is repeated with other events or messages"
            elif one.txn_id != before.txn_id and first[one.txn_id] is not one:
                yield f"{names}: {one.txn_id} is sent again after the next one"
        events = [event_id for told in first.values() for event_id in told.events]
        if len(set(events)) < len(events):
            yield f"{names}: an event is sent under two transaction ids"
        places = [positions[origin][event_id] for event_id in events]
        if places != sorted(places):
            yield f"{names}: events are not sent in the order of the log"
        told_to, messages = 0, by_name[origin].tables.edu_positions
        for one in first.values():
            if any(messages[destination, message] < told_to for message in one.messages):
                yield f"{names}: a message to a device waited behind events, until {one.txn_id}"
            told_to = max([told_to, *(positions[origin][event_id] for event_id in one.events)])


def _sent(world: World) -> dict[tuple[str, str], list[Sent]]:
    """By origin and destination, in the order in which they left."""
    versions = {room.room_id: ROOM_VERSIONS[room.version] for room in world.actions.rooms}
    sent: dict[tuple[str, str], list[Sent]] = {}
    for destination, question in world.wire.asked:
        if question.uri.startswith(SEND):
            body = orjson.loads(question.body or b"")
            pdus = body["pdus"]
            messages = [edu["content"]["message_id"] for edu in body["edus"] if edu["edu_type"] == "m.direct_to_device"]
            # By their ids: what was redacted meanwhile is repeated redacted.
            ids = [hashes.event_id(pdu, versions[pdu["room_id"]]) for pdu in pdus]
            one = Sent(question.uri.removeprefix(SEND), ids, messages)
            sent.setdefault((question.origin, destination), []).append(one)
    return sent
