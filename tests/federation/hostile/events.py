"""Attacks by single events, in rooms of the attacker that a user of ours has joined.

Spec: server-server API, #checks-performed-on-receipt-of-a-pdu, #server-access-control-lists-acls.
"""

from itertools import islice
from typing import Any, Final

from hs_common.matrix.event import Event
from hs_common.matrix.signing import sign_event
from tests.common.federation.far_server import FarRoom, key_of
from tests.federation.hostile.evil import V1
from tests.federation.hostile.guest import MALLORY, ours
from tests.federation.hostile.stage import EVIL, HONEST, Stage

Json = dict[str, Any]
VICTIM: Final = f"@victim:{HONEST}"
BUNDLE: Final = 50
"""Events of one transaction."""


def _errors(stage: Stage, pdus: list[Event | Json]) -> list[str | None]:
    """What is said of each event, None where nothing is; sent in full transactions."""
    waiting, found = iter(pdus), []
    while some := list(islice(waiting, BUNDLE)):
        found += [result.get("error") for result in stage.evil.results(*some).values()]
    return found


def broken_signatures(stage: Stage) -> str:
    """1. Signatures that are of something else, of a key that there is not, or no signatures."""
    room = stage.joined()
    with stage.attack():
        good = [room.compose("m.room.message", {"body": str(number)}) for number in range(stage.count)]
        other = dict(room.compose("m.room.message", {"body": "another"}).pdu["signatures"])
        wrong: list[Any] = [other, {EVIL: {"ed25519:none": "A" * 86}}, {EVIL: {"ed25519:k1": "A" * 86}}, {}, {EVIL: 7}]
        changed = [{**event.pdu, "signatures": wrong[at % len(wrong)]} for at, event in enumerate(good)]
        errors = _errors(stage, list(changed))
    assert len(errors) == stage.count
    assert all(errors), errors
    stage.unseen(room, good[-1].event_id)
    stage.arrives(room)
    return f"200; each event: {errors[0]}"


def wrong_hashes(stage: Stage) -> str:
    """2. Contents that do not fit their hash are redacted."""
    room = stage.joined()
    with stage.attack():
        good = [room.say(str(number)) for number in range(stage.count)]
        errors = _errors(stage, [{**event.pdu, "content": {"body": "forged"}} for event in good])
    assert not any(errors)
    stage.arrives(room)
    shown = stage.alice.event(room.room_id, good[-1].event_id)
    assert shown is not None
    assert shown["content"] == {}
    return "200; taken as redacted: content {}"


def forged_senders(stage: Stage) -> str:
    """3. Events in another server's name."""
    room = stage.joined()
    joins(stage, room, VICTIM)
    with stage.attack():
        forged = []
        for number in range(stage.count):
            event = room.compose("m.room.message", {"body": str(number)}, sender=VICTIM)
            forged.append(sign_event({**event.pdu, "signatures": {}}, room.version, EVIL, key_of(EVIL)))
        errors = _errors(stage, list(forged))
    assert len(errors) == stage.count
    assert all(errors), errors
    stage.arrives(room)
    assert all(
        event["sender"] != VICTIM or event["type"] != "m.room.message" for event in stage.alice.timeline(room.room_id)
    )
    return f"200; each event: {errors[0]}"


def joins(stage: Stage, room: FarRoom, user_id: str) -> None:
    """A user elsewhere joins a room of the attacker, honestly."""
    event = room.join(user_id)
    assert stage.evil.results(event) == {event.event_id: {}}
    stage.until(lambda: stage.alice.event(room.room_id, event.event_id), "a join arrives")


def circles(stage: Stage) -> str:
    """4. Events that cite themselves, and each other: room versions 1 and 2 let senders choose ids."""
    room = stage.joined("1")
    count = max(2, stage.count)
    ids = [f"$circle{number}:{EVIL}" for number in range(count)]
    auth = [room.state[key].event_id for key in (("m.room.create", ""), ("m.room.member", room.creator))]
    with stage.attack(count):
        pdus: list[Event | Json] = []
        for number, event_id in enumerate(ids):
            # Some cite themselves, some the next, which cites the one before; some by their auth events.
            cited = (
                [event_id]
                if number % 3 == 0
                else [ids[number + 1 if number % 3 == 1 and number + 1 < count else number - 1]]
            )
            prev, auth_ids = (room.heads, [*auth, *cited]) if number % 2 else (cited, auth)
            content = {"body": str(number)}
            pdus.append(room.compose("m.room.message", content, prev=prev, auth=auth_ids, event_id=event_id))
        errors = _errors(stage, pdus)
        stage.arrives(room)
    stage.unseen(room, *ids)
    return f"200; {sum(map(bool, errors))} with an error; none is shown"


def unknown_past(stage: Stage) -> str:
    """5. Events after others that nobody has ever seen; and, of those, whose right comes from such."""
    room = stage.joined()
    before = len(stage.evil.asked)
    with stage.attack():
        pdus: list[Event | Json] = []
        for number in range(stage.count):
            none = "$" + f"{number:043}"
            more: Json = {"auth": [none]} if number % 2 else {"prev": [none]}
            pdus.append(room.compose("m.room.message", {"body": str(number)}, **more))
        _errors(stage, pdus)
        stage.arrives(room)
    asked = len(stage.evil.asked) - before
    stage.unseen(room, *(pdu.event_id for pdu in pdus if isinstance(pdu, Event)))
    return f"200; kept, asked for with {asked} requests, not shown; the room goes on"


def malformed(stage: Stage) -> str:
    """6. Events that are not as they must be: too many cited, too deep, too large, of wrong types."""
    room = stage.joined()
    good = room.compose("m.room.message", {"body": "x"})
    bad: list[Json] = [
        *({"prev_events": ["$" + "x" * 43] * 21}, {"auth_events": ["$" + "x" * 43] * 11}, {"depth": 2**63}),
        *({"depth": -1}, {"content": {"body": "x" * 66_000}}, {"content": {"n": 1.5}}, {"type": "x" * 300}),
        *({"sender": "@x:" + "y" * 300}, {"hashes": {}}, {"signatures": []}, {"prev_events": "all"}),
        {"origin_server_ts": "yesterday"},
    ]
    with stage.attack():
        pdus: list[Event | Json] = [{**good.pdu, **bad[number % len(bad)]} for number in range(stage.count)]
        errors = _errors(stage, pdus)
    assert all(errors), errors
    stage.arrives(room)
    return f"200; each event: {errors[0]}"


def banned_senders(stage: Stage) -> str:
    """7. Who is banned goes on talking, and cites what was before the ban."""
    room = stage.joined()
    joins(stage, room, MALLORY)
    before, state = list(room.heads), dict(room.state)
    ban = room.member(MALLORY, "ban", sender=room.creator)
    assert stage.evil.results(ban) == {ban.event_id: {}}
    with stage.attack():
        pdus: list[Event | Json] = []
        for number in range(stage.count):
            old: Json = {"prev": before, "state": state} if number % 2 else {"state": state}
            pdus.append(room.compose("m.room.message", {"body": str(number)}, sender=MALLORY, **old))
        errors = _errors(stage, pdus)
        stage.arrives(room)
    assert not any(errors)
    stage.unseen(room, *(pdu.event_id for pdu in pdus[:20] if isinstance(pdu, Event)))
    assert all(
        event["sender"] != MALLORY or event["type"] != "m.room.message" for event in stage.alice.timeline(room.room_id)
    )
    return "200; rejected, or soft failed where the past allowed it; not shown"


def denied_servers(stage: Stage) -> str:
    """8. A server that the room's access control list denies: events, ephemeral data, questions, joins."""
    room = ours(stage)
    room_id = room.room_id
    stage.alice.set_state(room_id, "m.room.server_acl", {"allow": ["*"], "deny": [EVIL]})
    since = stage.alice.call("GET", ("sync",))["next_batch"]
    typing = {"edu_type": "m.typing", "content": {"room_id": room_id, "user_id": MALLORY, "typing": True}}
    read = {"m.read": {MALLORY: {"event_ids": [room.heads[0]], "data": {"ts": 1}}}}
    receipt = {"edu_type": "m.receipt", "content": {room_id: read}}
    with stage.attack():
        answers: list[tuple[int, Any]] = []
        for number in range(stage.count):
            event = room.compose("m.room.message", {"body": str(number)}, sender=MALLORY)
            answers.append(stage.evil.send(event, edus=[typing, receipt]))
    for status, answer in answers:
        assert status == 200
        assert all("denies" in result["error"] for result in answer["pdus"].values()), answer
    for uri in (
        *(f"{V1}/make_join/{room_id}/@other:{EVIL}?ver=11", f"{V1}/state/{room_id}?event_id={room.heads[0]}"),
        *(f"{V1}/backfill/{room_id}?v={room.heads[0]}&limit=10", f"{V1}/make_leave/{room_id}/{MALLORY}"),
    ):
        status, answer = stage.evil.call("GET", uri)
        assert (status, answer["errcode"]) == (403, "M_FORBIDDEN"), (uri, answer)
    body = {"earliest_events": [], "latest_events": [room.heads[0]], "limit": 10, "min_depth": 0}
    assert stage.evil.call("POST", f"{V1}/get_missing_events/{room_id}", body)[0] == 403
    synced = stage.alice.call("GET", ("sync",), query=f"?since={since}&timeout=0")
    assert room_id not in synced.get("rooms", {}).get("join", {}), synced
    return f"200; each event: {next(iter(answers[0][1]['pdus'].values()))['error']}; EDUs ignored; questions 403"
