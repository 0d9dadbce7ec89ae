"""Sending messages, state and redactions: idempotency, what is refused, and policy servers."""

from typing import Any
from urllib.parse import quote

from hs_common.federation.policy_servers import KEPT_WITHOUT_S
from hs_common.matrix.base64 import encode as base64_encode
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.matrix.signing import SigningKey, sign_event
from hs_common.replication.calls import AppendReady, ComposeEvent
from tests.master.harness import SERVER
from tests.workers.client.room_world import RoomWorld, play, room_path

FORBIDDEN = (403, "M_FORBIDDEN")
BAD = (400, "M_BAD_JSON")


def test_a_repeated_transaction_sends_nothing_twice(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        phone = await world.device(alice, "PHONE")
        room_id, other = await alice.create(), await alice.create()
        path = room_path(room_id, "send/m.room.message/1")
        first = await alice.ok("PUT", path, {"body": "once"})
        assert await alice.ok("PUT", path, {"body": "twice"}) == first
        assert await alice.ok("PUT", f"/_matrix/client/r0{path}", {"body": "old path"}) == first
        distinct = [
            await phone.ok("PUT", path, {"body": "phone"}),
            await alice.ok("PUT", room_path(room_id, "send/m.other/1"), {"body": "type"}),
            await alice.ok("PUT", room_path(other, "send/m.room.message/1"), {"body": "room"}),
            first,
        ]
        assert len({sent["event_id"] for sent in distinct}) == 4
        event = await alice.event(room_id, first["event_id"])
        assert event["content"] == {"body": "once"}
        assert event["unsigned"]["transaction_id"] == "1"
        assert "transaction_id" not in (await phone.event(room_id, first["event_id"]))["unsigned"]

    play(database_url, scenario)


REFUSED: list[tuple[Any, tuple[int, str]]] = [
    (b"{", (400, "M_NOT_JSON")),
    (b'{"a":"\\ud800"}', (400, "M_NOT_JSON")),
    (b"[]", BAD),
    (b'{"a":1.5}', BAD),
    (b'{"a":9007199254740992}', BAD),
    (b'{"a":1e400}', (400, "M_NOT_JSON")),
    (b'{"a":"\\u0000"}', BAD),
    (b'{"a":' + b"[" * 150 + b"]" * 150 + b"}", BAD),
    ({"a": "x" * 66_000}, (413, "M_TOO_LARGE")),
    ({"a": "x" * 65_400}, (413, "M_TOO_LARGE")),
    ({"a": ["x" * 66_000, 1.5, "\0"]}, (413, "M_TOO_LARGE")),
    ({"a": ["x" * 66_000, 2**53]}, BAD),
]


def test_what_is_no_event_is_refused(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        room_id = await alice.create(room_version="5")
        for number, (body, error) in enumerate(REFUSED):
            for path in (f"send/m.room.message/r{number}", "state/org.test/"):
                assert await alice.refused("PUT", room_path(room_id, path), body) == error, (body, path)
        await alice.ok("PUT", room_path(room_id, "send/m.room.message/fits"), {"a": "x" * 64_000})
        long = "x" * 256
        assert await alice.refused("PUT", room_path(room_id, f"send/{long}/t"), {}) == (413, "M_TOO_LARGE")
        assert await alice.refused("PUT", room_path(room_id, f"state/a/{long}"), {}) == (413, "M_TOO_LARGE")
        assert await bob.refused("PUT", room_path(room_id, "send/m.room.message/1"), {}) == FORBIDDEN
        assert await bob.refused("PUT", room_path("!no:test", "send/m.room.message/1"), {}) == (404, "M_NOT_FOUND")
        assert await alice.refused("PUT", room_path(room_id, "state/m.room.create/"), {}) == FORBIDDEN
        assert await alice.refused("PUT", room_path(room_id, "state/x/@bob:test"), {}) == FORBIDDEN

    play(database_url, scenario)


def test_unchanged_state_answers_the_current_event(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        room_id = await alice.create()
        topic = {"topic": "one"}
        first = await alice.set_state(room_id, "m.room.topic", topic)
        assert await alice.set_state(room_id, "m.room.topic", topic) == first
        short = await alice.ok("PUT", room_path(room_id, "state/m.room.topic"), topic)
        assert short == {"event_id": first}
        second = await alice.set_state(room_id, "m.room.topic", {"topic": "two"})
        event = await alice.state(room_id, "m.room.topic", format="event")
        assert (event["event_id"], event["content"], event["room_id"]) == (second, {"topic": "two"}, room_id)
        assert event["unsigned"]["replaces_state"] == first
        assert event["unsigned"]["prev_content"] == topic

    play(database_url, scenario)


def test_aliases_of_a_room_must_lead_to_it(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        room_id, other = await alice.create(room_alias_name="pub"), await alice.create(room_alias_name="other")
        path = room_path(room_id, "state/m.room.canonical_alias/")
        bad = (400, "M_BAD_ALIAS")
        invalid = (400, "M_INVALID_PARAM")
        for content, error in [
            ({"alias": "#other:test"}, bad),
            ({"alias": "#none:test"}, bad),
            ({"alias": "#pub:test", "alt_aliases": ["#other:test"]}, bad),
            ({"alias": "#pub:elsewhere.org"}, bad),
            ({"alias": "pub"}, invalid),
            ({"alt_aliases": ["#pub:test", 5]}, invalid),
            ({"alt_aliases": "#pub:test"}, invalid),
            ({"alt_aliases": [f"#a{n}:test" for n in range(101)]}, invalid),
        ]:
            assert await alice.refused("PUT", path, content) == error, content
        await alice.ok("PUT", f"/directory/room/{quote('#more:test')}", {"room_id": room_id})
        await alice.ok("PUT", path, {"alias": "#pub:test", "alt_aliases": ["#more:test"]})
        await alice.ok("DELETE", f"/directory/room/{quote('#more:test')}")
        assert await alice.state(room_id, "m.room.canonical_alias") == {"alias": "#pub:test", "alt_aliases": []}
        await alice.ok("DELETE", f"/directory/room/{quote('#other:test')}")
        assert await alice.state(other, "m.room.canonical_alias") == {"alt_aliases": []}
        await alice.ok("PUT", path, {})

    play(database_url, scenario)


def test_redactions_strip_events_for_all_readers(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        for version in ("3", "11"):
            room_id = await alice.create(room_version=version, preset="public_chat")
            await bob.join(room_id)
            bobs, alices = await bob.send(room_id, "spam"), await alice.send(room_id, "fine")
            redact = room_path(room_id, f"redact/{quote(bobs, safe='')}/1")
            sent = await alice.ok("PUT", redact, {"reason": "spam", "other": "key"})
            assert await alice.ok("PUT", redact, {}) == sent
            event = await bob.event(room_id, bobs)
            assert event["content"] == {}
            because = event["unsigned"]["redacted_because"]
            assert because["event_id"] == sent["event_id"]
            assert because["content"] == {"reason": "spam", "redacts": bobs}
            assert because["redacts"] == bobs
            path = room_path(room_id, f"redact/{quote(alices, safe='')}/2")
            assert await bob.refused("PUT", path, {}) == FORBIDDEN
            own = await bob.send(room_id, "mine")
            await bob.ok("PUT", room_path(room_id, "send/m.room.redaction/3"), {"redacts": own})
            assert (await alice.event(room_id, own))["content"] == {}
            assert await bob.refused("PUT", room_path(room_id, "send/m.room.redaction/4"), {}) == BAD
            assert await bob.refused("PUT", room_path(room_id, "redact/$no/5"), {}) == (404, "M_NOT_FOUND")
            assert await bob.refused("PUT", path, {"reason": 5}) == BAD

    play(database_url, scenario)


def test_a_suspended_user_may_redact_own_events_only(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        room_id = await alice.create(preset="public_chat")
        await bob.join(room_id)
        theirs, own, second = await alice.send(room_id), await bob.send(room_id), await bob.send(room_id)
        await world.db.execute("UPDATE users SET suspended = true WHERE user_id = %s", (bob.user_id,))
        suspended = (403, "M_USER_SUSPENDED")
        for path in ("send/m.room.message/s", "state/m.room.topic/", f"redact/{quote(theirs, safe='')}/s"):
            assert await bob.refused("PUT", room_path(room_id, path), {}) == suspended
        await bob.ok("PUT", room_path(room_id, f"redact/{quote(own, safe='')}/s"), {})
        await bob.ok("PUT", room_path(room_id, "send/m.room.redaction/t"), {"redacts": second})
        assert (await bob.messages(room_id))["chunk"]

    play(database_url, scenario)


def test_threads_and_annotations_are_checked(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        room_id = await alice.create()
        root = await alice.send(room_id)
        reply = await alice.relate(room_id, "m.thread", root)
        body = {"m.relates_to": {"rel_type": "m.thread", "event_id": reply}}
        assert await alice.refused("PUT", room_path(room_id, "send/m.room.message/x"), body) == (400, "M_UNKNOWN")
        thumb = {"m.relates_to": {"rel_type": "m.annotation", "event_id": root, "key": "+"}}
        await alice.ok("PUT", room_path(room_id, "send/m.reaction/1"), thumb)
        again = await alice.refused("PUT", room_path(room_id, "send/m.reaction/2"), thumb)
        assert again == (400, "M_DUPLICATE_ANNOTATION")

    play(database_url, scenario)


class Policy:
    """A policy server that signs everything but spam. `meanwhile` happens while it thinks."""

    def __init__(self, key: SigningKey) -> None:
        self.key = key
        self.asked: list[str] = []
        self.meanwhile: list[Any] = []

    async def sign(self, server: str, pdu: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(pdu["type"])
        if self.meanwhile:
            await self.meanwhile.pop()()
        if pdu["content"].get("body") == "spam":
            raise MatrixError(400, "M_FORBIDDEN", "This looks like spam", {"org.test": "details"})
        signed = sign_event({**pdu, "signatures": {}}, ROOM_VERSIONS["12"], server, self.key)
        return dict(signed["signatures"])


def test_a_policy_server_signs_what_is_sent(database_url: str) -> None:
    policy = Policy(SigningKey("policy_server", b"\x07" * 32))
    public_key = base64_encode(policy.key.verify_key.public_bytes)
    content = {"via": SERVER, "public_keys": {"ed25519": public_key}}

    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        room_id = await alice.create(preset="public_chat")
        await alice.send(room_id, "before")
        await alice.set_state(room_id, "m.room.policy", content)
        assert policy.asked == []
        event_id = await alice.send(room_id, "hello")
        row = await world.db.fetch_one("SELECT json FROM events WHERE event_id = %s", (event_id,))
        assert row is not None
        assert '"ed25519:policy_server"' in row[0]
        assert '"ed25519:a_test"' in row[0]
        await bob.join(room_id)
        path = room_path(room_id, "send/m.room.message/1")
        answer = await alice.ask("PUT", path, {"body": "spam"})
        assert (answer.status, answer.json["error"]) == (400, "This looks like spam")
        assert answer.json["org.test"] == "details"
        policy.meanwhile = [lambda: world.master.send(room_id, bob.user_id, "raced")]
        await alice.send(room_id, "after a race")
        assert policy.asked == ["m.room.message", "m.room.member", *["m.room.message"] * 2]
        bodies = [event["content"].get("body") for event in (await alice.messages(room_id))["chunk"]]
        assert bodies[:2] == ["after a race", "raced"]
        kinds = [type(call) for call in world.link.calls]
        assert kinds.count(AppendReady) == kinds.count(ComposeEvent) - 1
        policy.key = SigningKey("policy_server", b"\x08" * 32)
        assert await alice.refused("PUT", room_path(room_id, "send/m.room.message/2"), {}) == FORBIDDEN
        await alice.set_state(room_id, "m.room.policy", {})
        await alice.send(room_id, "spam")

    play(database_url, scenario, policy)


def test_state_that_would_not_change_is_no_new_event_with_a_policy_server_either(database_url: str) -> None:
    policy = Policy(SigningKey("policy_server", b"\x07" * 32))
    content = {"via": SERVER, "public_keys": {"ed25519": base64_encode(policy.key.verify_key.public_bytes)}}

    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        room_id = await alice.create()
        await alice.set_state(room_id, "m.room.policy", content)
        path = room_path(room_id, "state/m.room.topic")
        first = await alice.ok("PUT", path, {"topic": "one"})
        assert await alice.ok("PUT", path, {"topic": "one"}) == first
        assert policy.asked == ["m.room.topic"]
        assert await alice.ok("PUT", path, {"topic": "two"}) != first

    play(database_url, scenario, policy)


def test_a_policy_server_is_no_way_around_the_right_to_redact(database_url: str) -> None:
    policy = Policy(SigningKey("policy_server", b"\x07" * 32))
    content = {"via": SERVER, "public_keys": {"ed25519": base64_encode(policy.key.verify_key.public_bytes)}}

    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        room_id = await alice.create(preset="public_chat")
        await bob.join(room_id)
        await alice.set_state(room_id, "m.room.policy", content)
        event_id = await alice.send(room_id, "hello")
        redaction = room_path(room_id, f"redact/{quote(event_id)}/1")
        assert await bob.refused("PUT", redaction, {}) == FORBIDDEN
        assert (await alice.event(room_id, event_id))["content"]["body"] == "hello"
        await alice.ok("PUT", redaction, {})
        assert (await alice.event(room_id, event_id))["content"] == {}
        assert policy.asked == ["m.room.message", "m.room.redaction"]

    play(database_url, scenario, policy)


def test_nothing_is_sent_past_a_policy_server_that_cannot_be_asked(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        room_id = await alice.create()
        absent = {"via": "elsewhere.org", "public_keys": {"ed25519": "x"}}
        for content in (absent, {"via": SERVER}, {"via": SERVER, "public_keys": {"other": "x"}}):
            await alice.set_state(room_id, "m.room.policy", content)
            await alice.send(room_id, "free")
        await alice.set_state(room_id, "m.room.policy", {"via": SERVER, "public_keys": {"ed25519": "x"}})
        assert await alice.refused("PUT", room_path(room_id, "send/m.room.message/p"), {}) == FORBIDDEN
        # Removed behind this worker's back: a refusal is looked at anew.
        await world.master.event(room_id, alice.user_id, "m.room.policy", {}, state_key="")
        await alice.send(room_id, "free")
        # Set behind its back, where nothing tells of it: seen when what is known has become old.
        present = {"via": SERVER, "public_keys": {"ed25519": "x"}}
        await world.master.event(room_id, alice.user_id, "m.room.policy", present, state_key="")
        await alice.send(room_id, "free")
        world.seconds += KEPT_WITHOUT_S + 1
        assert await alice.refused("PUT", room_path(room_id, "send/m.room.message/q"), {}) == FORBIDDEN

    play(database_url, scenario)
