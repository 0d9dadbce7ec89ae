"""A policy server of our own making, over HTTP: asked before anything is sent, and about what comes without its
signature.

Spec: server-server API, #policy-servers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from hs_common.matrix.event import Event
from hs_common.matrix.hashes import event_id
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.matrix.signing import SigningKey, sign_event
from tests.federation.foreign_server import Answer, Asked
from tests.federation.hostile.evil import EvilServer, json_of
from tests.federation.hostile.guest import MALLORY, VisitedRoom, enter, follow, ours
from tests.federation.hostile.stage import HONEST, Stage
from tests.scenarios.client import unique

Json = dict[str, Any]
KEY: Final = SigningKey("policy_server", b"p" * 32)
SIGN: Final = "/_matrix/policy/v1/sign"
VERSION: Final = "11"


def _signatures(pdu: Json) -> Json:
    signed = sign_event({**pdu, "signatures": {}}, ROOM_VERSIONS[VERSION], HONEST, KEY)
    return json_of(dict(signed["signatures"]))  # type: ignore[no-any-return]


def _judge(asked: Asked) -> Answer:
    """Signs what does not have the word in it."""
    if "spam" in str(asked.body["content"]):
        return 403, {"errcode": "M_FORBIDDEN", "error": "We want none of this here"}
    return 200, _signatures(asked.body)


@contextmanager
def _policed(stage: Stage) -> Iterator[VisitedRoom]:
    """A room that uses the policy server, which is at the honest server."""
    room = ours(stage)
    enter(stage.honest, f"@policy:{HONEST}", room.room_id, VERSION)
    stage.honest.instead[SIGN] = _judge
    content = {"via": HONEST, "public_keys": {"ed25519": KEY.verify_key.to_base64()}}
    follow(stage, room, stage.alice.set_state(room.room_id, "m.room.policy", content))
    try:
        yield room
    finally:
        stage.honest.instead.pop(SIGN, None)


def _sent(server: EvilServer, wanted: str) -> Json | None:
    """An event as a server was sent it."""
    for asked in server.asked_for("/send/"):
        for pdu in asked.body.get("pdus", []):
            if event_id(pdu, ROOM_VERSIONS[VERSION]) == wanted:
                return dict(pdu)
    return None


def _asked_about(stage: Stage, body: str) -> int:
    return sum(asked.body["content"].get("body") == body for asked in stage.honest.asked_for(SIGN))


def test_what_is_sent_is_signed_first(hostile_stage: Stage) -> None:
    stage, alice = hostile_stage, hostile_stage.alice
    with _policed(stage) as room:
        good = alice.say(room.room_id, "good news")
        stage.until(lambda: _sent(stage.evil, good), "others hear of it")
        told = _sent(stage.evil, good)
        assert told is not None
        assert told["signatures"][HONEST] == _signatures(told)[HONEST], "what others get is signed"
        topic = alice.set_state(room.room_id, "m.room.topic", {"topic": "state too"})
        assert any(asked.body["type"] == "m.room.topic" for asked in stage.honest.asked_for(SIGN))
        path = ("rooms", room.room_id, "send", "m.room.message", unique("t"))
        status, answer = alice.ask("PUT", path, {"msgtype": "m.text", "body": "spam"})
        assert (status, answer) == (403, {"errcode": "M_FORBIDDEN", "error": "We want none of this here"}), "verbatim"
        assert alice.timeline(room.room_id)[-1]["event_id"] == topic
        busy = {"errcode": "M_LIMIT_EXCEEDED", "error": "Not so fast", "retry_after_ms": 1500}
        stage.honest.instead[SIGN] = lambda asked: (429, busy)
        assert alice.ask("PUT", (*path[:-1], unique("t")), {"msgtype": "m.text", "body": "haste"}) == (429, busy)
        stage.honest.instead[SIGN] = lambda asked: (200, {HONEST: {"ed25519:policy_server": "A" * 86}})
        status, answer = alice.ask("PUT", (*path[:-1], unique("t")), {"msgtype": "m.text", "body": "forged"})
        assert (status, answer["errcode"]) == (403, "M_FORBIDDEN")
        stage.honest.instead[SIGN] = lambda asked: (500, {})
        status, _ = alice.ask("PUT", (*path[:-1], unique("t")), {"msgtype": "m.text", "body": "nobody answers"})
        assert status >= 400
        before = len(stage.honest.asked_for(SIGN))
        alice.set_state(room.room_id, "m.room.policy", {})
        assert len(stage.honest.asked_for(SIGN)) == before, "or it could not be got rid of"
        alice.say(room.room_id, "free again")


def test_what_comes_without_a_signature_is_asked_about(hostile_stage: Stage) -> None:
    stage, alice = hostile_stage, hostile_stage.alice
    with _policed(stage) as room:

        def say(body: str, signatures: Json | None = None) -> Event:
            event = room.compose("m.room.message", {"body": body}, sender=MALLORY)
            pdu = json_of(dict(event.pdu))
            pdu["signatures"] |= signatures or {}
            assert stage.evil.results(pdu) == {event.event_id: {}}
            return event

        signed = room.compose("m.room.message", {"body": "signed"}, sender=MALLORY)
        pdu = json_of(dict(signed.pdu))
        pdu["signatures"] |= _signatures(pdu)
        assert stage.evil.results(pdu) == {signed.event_id: {}}
        unsigned = say("asked about")
        spam = say("spam from elsewhere")
        forged = say("more spam", {HONEST: {"ed25519:policy_server": "A" * 86}})
        wrong = say("signed wrongly", {HONEST: {"ed25519:policy_server": "A" * 86}})
        last = say("the last")
        stage.until(lambda: alice.sees(room.room_id, last.event_id), "what is asked about and signed is shown")
        for event in (signed, unsigned, wrong):
            assert alice.sees(room.room_id, event.event_id), event.content
        for event in (spam, forged):
            assert not alice.sees(room.room_id, event.event_id), event.content
        asked = {
            body: _asked_about(stage, body)
            for body in ("signed", "asked about", "spam from elsewhere", "signed wrongly")
        }
        assert asked == {"signed": 0, "asked about": 1, "spam from elsewhere": 1, "signed wrongly": 1}
