"""Rooms and traffic of servers that do not exist are what any server takes for true: hashed, signed, allowed."""

from itertools import islice

import orjson
import pytest

from hs_common.matrix import auth_rules
from hs_common.matrix.event import Event
from hs_common.matrix.received_pdu import ReceivedPdu, read_pdu
from hs_common.matrix.request_signing import parse_authorization, signed_bytes
from hs_common.matrix.signing import SigningKey, verify_event
from tests.bench.federation.rooms import ForeignRoom, Origin
from tests.bench.federation.traffic import transactions

ORIGINS = [Origin(f"localhost:{number}", SigningKey("bench", bytes([number]) * 32)) for number in (1, 2, 3)]


def _room(version: str, members: int = 12) -> ForeignRoom:
    room = ForeignRoom(version, ORIGINS, members, "label")
    room.joined("$join", 1_000)
    return room


def _checked(room: ForeignRoom, pdu: object) -> ReceivedPdu:
    received = read_pdu(pdu, room.version)
    keys = {origin.name: {origin.key.key_id: origin.key.verify_key} for origin in ORIGINS}
    for signer in received.signers:
        verify_event(received.event.pdu, room.version, signer, keys[signer])
    return received


@pytest.mark.parametrize("version", ["10", "12"])
def test_the_answer_to_a_join_is_a_whole_room(version: str) -> None:
    room = _room(version)
    told = orjson.loads(room.join_answer())
    chain = {one.event_id: one.event for one in (_checked(room, pdu) for pdu in told["auth_chain"])}
    state = [_checked(room, pdu).event for pdu in told["state"]]
    assert sum(event.membership == "join" for event in state) == 12
    for event in (*state, *chain.values()):
        assert set(event.auth_event_ids) <= chain.keys()
        assert event.room_id == room.room_id


@pytest.mark.parametrize("version", ["10", "12"])
def test_what_is_written_is_allowed(version: str) -> None:
    room = _room(version)
    state = {event.key: event for event in (_checked(room, one.pdu).event for one in room.state)}
    for sealed in (*islice(room.line(3), 5), *islice(room.branches(), 24)):
        event: Event = _checked(room, sealed.pdu).event
        auth_rules.authorise(event, state)


def test_three_events_in_four_fork() -> None:
    room = _room("10")
    cited = [tuple(event.pdu["prev_events"]) for event in islice(room.branches(), 16)]
    assert [len(prev) for prev in cited] == [1, 1, 1, 1, 1, 1, 2, 1] * 2
    assert cited[0] == cited[1] == ("$join",)


def test_transactions_are_signed_as_they_are_sent() -> None:
    room = _room("10")
    (one, two) = islice(transactions(ORIGINS[0], "there", room.line(0), 10, "t"), 2)
    assert len(one.event_ids) == len(two.event_ids) == 10
    head, _, body = one.question.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    uri = lines[0].split(" ")[1]
    claim = parse_authorization(lines[2].removeprefix("Authorization: "))
    assert (claim.origin, claim.destination) == (ORIGINS[0].name, "there")
    assert ORIGINS[0].key.verify_key.verify_bytes(
        signed_bytes("PUT", uri, ORIGINS[0].name, "there", body), claim.signature
    )
    assert lines[-1] == f"Content-Length: {len(body)}"
