"""The checks on receipt of a PDU without state: format, hashes, signatures."""

from typing import Any

import pytest

from hs_common.federation.signatures import SignatureChecks
from hs_common.federation.topology import CALL_BYTES, CALL_EVENTS, cited_first, pieces
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.event import Event
from hs_common.matrix.received_pdu import ReceivedPdu, read_pdu, read_pdu_of, with_signatures
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.matrix.signing import sign_event
from tests.common.federation.far_server import FarRoom, FarServer, Keys, key_of
from tests.reactor import run

FAR = "far.example"
VERSIONS = ("1", "3", "6", "8", "10", "11", "12")


def _room(version: str) -> FarRoom:
    return FarServer(FAR).room(version)


def _read(event: Event, **changes: Any) -> ReceivedPdu:
    return read_pdu({**event.pdu, **changes}, event.room_version)


def _failures(*events: ReceivedPdu, keys: Keys | None = None, without: tuple[str, ...] = ()) -> dict[str, str]:
    return run(SignatureChecks(keys or Keys()).failures(events, without=without))


@pytest.mark.parametrize("version", VERSIONS)
def test_an_honest_event_is_kept_as_it_is(version: str) -> None:
    room = _room(version)
    event = room.say("hello")
    received = _read(event, unsigned={"age": 5})
    assert received.event_id == event.event_id
    assert received.event.pdu == event.pdu
    assert _failures(received, *(_read(other) for other in room.events.values())) == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_an_event_whose_content_does_not_fit_its_hash_is_redacted(version: str) -> None:
    event = _room(version).say("hello")
    received = _read(event, content={"msgtype": "m.text", "body": "forged"})
    assert received.event_id == event.event_id
    assert received.event.content == {}
    assert _failures(received) == {}, "the signature covers the redacted event"


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_signed_wrongly_or_by_others_is_dropped(version: str) -> None:
    room = _room(version)
    event = room.say("hello")
    forged = room.say("hello", sender="@victim:other.example")
    by_us = sign_event({**forged.pdu, "signatures": {}}, room.version, FAR, key_of(FAR))
    assert list(_failures(_read(forged, signatures=by_us["signatures"]))) == [forged.event_id]
    moved = _read(event, depth=99, signatures=event.pdu["signatures"])
    assert list(_failures(moved)) == [moved.event_id]
    broken = _read(event, signatures={FAR: {"ed25519:k1": "A" * 86}})
    assert "wrong" in _failures(broken)[event.event_id]
    keys = Keys()
    keys.unknown = {FAR}
    assert "no signature" in _failures(_read(event), keys=keys)[event.event_id]


def test_ill_formed_events_are_refused() -> None:
    room = _room("12")
    event = room.say("hello")
    bad: list[dict[str, Any]] = [
        *({"depth": 2**60}, {"depth": 1.5}, {"type": 5}, {"sender": "carol"}, {"content": []}),
        *({"prev_events": ["$x"] * 21}, {"auth_events": ["$x"] * 11}, {"hashes": {}}),
        *({"content": {"n": 1e3}}, {"content": {"body": "x" * 70_000}}),
    ]
    for changes in bad:
        with pytest.raises(MatrixError):
            _read(event, **changes)
    with pytest.raises(MatrixError):
        read_pdu_of(dict(event.pdu), room.version, "!" + "x" * 43)


def test_restricted_joins_need_the_signature_of_who_authorised_them() -> None:
    room = _room("12")
    content = {"membership": "join", "join_authorised_via_users_server": "@dave:third.example"}
    join = _read(room.send("m.room.member", content, sender="@eve:other.example", state_key="@eve:other.example"))
    assert list(_failures(join)) == [join.event_id]
    assert _failures(join, without=("third.example",)) == {}
    signed = sign_event(join.event.pdu, room.version, "third.example", key_of("third.example"))
    added = with_signatures(join, {"third.example": signed["signatures"]["third.example"]})
    assert _failures(added) == {}
    assert added.event_id == join.event_id


def test_keys_must_be_of_the_time_where_versions_bind_them_to_it() -> None:
    for version, is_bound in (("4", False), ("5", True), ("12", True)):
        keys, room = Keys(), _room(version)
        assert _failures(*map(_read, room.events.values()), keys=keys) == {}
        times = [event.origin_server_ts if is_bound else None for event in room.events.values()]
        assert [proof.valid_at_ms for proof in keys.asked] == times


def test_events_come_after_what_they_cite() -> None:
    room = _room("12")
    for number in range(30):
        room.say(str(number))
    events = [_read(event) for event in room.events.values()]
    for scrambled in (events[::-1], events[1::2] + events[::2]):
        ordered = [event.event_id for event in cited_first(scrambled)]
        assert sorted(ordered) == sorted(room.events)
        for place, event_id in enumerate(ordered):
            event = room.events[event_id]
            assert {*event.prev_event_ids, *event.judged_by_ids} <= set(ordered[:place])
        stored = [event.event_id for event in cited_first(scrambled, prev_events=False)]
        assert all({*room.events[one].judged_by_ids} <= set(stored[:place]) for place, one in enumerate(stored))


def test_circles_are_left_out() -> None:
    version = ROOM_VERSIONS["1"]
    room = _room("1")
    one = room.compose("m.room.message", {}, prev=["$two:far.example"], event_id="$one:far.example")
    two = room.compose("m.room.message", {}, prev=["$one:far.example"], event_id="$two:far.example")
    events = [read_pdu({**one.pdu, "event_id": "$one:far.example"}, version)]
    events.append(read_pdu({**two.pdu, "event_id": "$two:far.example"}, version))
    assert cited_first(events) == []


def test_pieces_fit_into_calls() -> None:
    assert [len(piece) for piece in pieces([1] * 450, lambda size: size)] == [CALL_EVENTS, CALL_EVENTS, 50]
    assert [len(piece) for piece in pieces([CALL_BYTES // 2] * 5, lambda size: size)] == [2, 2, 1]
    assert list(pieces([CALL_BYTES * 2, 1], lambda size: size)) == [[CALL_BYTES * 2], [1]]
    assert list(pieces([], lambda size: size)) == []


def test_an_event_of_another_room_is_refused() -> None:
    event = _room("11").say("hello")
    assert read_pdu_of(event.pdu, event.room_version, event.room_id).event_id == event.event_id
    with pytest.raises(MatrixError, match="another room"):
        read_pdu_of(event.pdu, event.room_version, "!other:far.example")
