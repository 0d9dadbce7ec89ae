"""Bridges import history: into the past in its order, in front where that is right, under their own ids, once."""

from typing import Any
from urllib.parse import quote

from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.storage import federated_rooms, room_heads
from hs_workers.federation_inbound.graph import Graph
from tests.master.services import set_service
from tests.workers.client.service_world import ServiceWorld, play
from tests.workers.client.world import Answer

GHOST = "@irc_ghost:test"
SERVICE = "as_irc"


def event(number: int, **more: Any) -> dict[str, Any]:
    return {
        "type": "m.room.message",
        "sender": GHOST,
        "origin_server_ts": 1_600_000_000_000 + number,
        "content": {"msgtype": "m.text", "body": str(number)},
        "event_id": f"$chosen{number}:irc.example",
        **more,
    }


class Portal:
    """A room of the service's bot with Alice in it."""

    def __init__(self, w: ServiceWorld, room_id: str, alice: str) -> None:
        self.w, self.room_id, self.alice = w, room_id, alice

    @classmethod
    async def made(cls, w: ServiceWorld, version: str = "11") -> "Portal":
        alice = (await w.register("alice"))["access_token"]
        body = {"preset": "public_chat", "room_version": version}
        room_id = (await w.ask("POST", "/createRoom", body, SERVICE)).json["room_id"]
        assert (await w.ask("POST", f"/join/{quote(room_id)}", {}, alice)).status == 200
        return cls(w, room_id, alice)

    async def batch(self, *events: dict[str, Any], token: str = SERVICE, **more: Any) -> Answer:
        path = f"/_matrix/client/unstable/com.beeper.backfill/rooms/{quote(self.room_id)}/batch_send"
        return await self.w.ask("POST", path, {"events": list(events), **more}, token)

    async def say(self, text: str) -> str:
        path = f"/rooms/{quote(self.room_id)}/send/m.room.message/{text}"
        answer = await self.w.ask("PUT", path, {"msgtype": "m.text", "body": text}, self.alice)
        return str(answer.json["event_id"])

    async def messages(self) -> list[dict[str, Any]]:
        """All that Alice reads, the oldest first."""
        answer = await self.w.ask(
            "GET", f"/rooms/{quote(self.room_id)}/messages", token=self.alice, dir="b", limit="200"
        )
        return [one for one in reversed(answer.json["chunk"]) if one["type"] == "m.room.message"]

    async def texts(self) -> list[str]:
        return [one["content"]["body"] for one in await self.messages()]


def test_the_past_comes_before_the_first_message_piece_by_piece(database_url: str) -> None:
    async def scenario(w: ServiceWorld) -> None:
        portal = await Portal.made(w)
        await portal.say("live")
        answer = await portal.batch(*[event(number) for number in range(200, 350)])
        assert (answer.status, answer.json) == (
            200,
            {"event_ids": [f"$chosen{n}:irc.example" for n in range(200, 350)]},
        )
        await portal.batch(event(198), event(199))
        await portal.say("later")
        assert await portal.texts() == [*(str(number) for number in range(198, 350)), "live", "later"][-200:]
        first = (await portal.messages())[0]
        assert (first["event_id"], first["sender"], first["origin_server_ts"]) == (
            "$chosen198:irc.example",
            GHOST,
            1_600_000_000_198,
        )
        one = await w.ask("GET", f"/rooms/{quote(portal.room_id)}/event/{quote(first['event_id'])}", token=portal.alice)
        assert one.json["content"]["body"] == "198"

    play(database_url, scenario)


def test_a_repeated_batch_changes_nothing(database_url: str) -> None:
    async def scenario(w: ServiceWorld) -> None:
        portal = await Portal.made(w)
        await portal.say("live")
        for forward in (False, True):
            first = await portal.batch(event(1), event(2), forward=forward)
            assert (await portal.batch(event(1), event(2), forward=forward)).json == first.json
        assert await portal.texts() == ["1", "2", "live"]

    play(database_url, scenario)


def test_what_comes_in_front_keeps_its_ids_and_the_graph_goes_on_without_it(database_url: str) -> None:
    async def scenario(w: ServiceWorld) -> None:
        portal = await Portal.made(w)
        assert (await portal.batch(event(1), event(2), forward_if_no_messages=True)).status == 200
        assert (await portal.batch(event(3), forward=True)).status == 200
        ((_, head, _),) = await room_heads.newest_events(w.db, [portal.room_id])
        assert not head.startswith("$chosen")
        said = await portal.say("live")
        rows = await w.near.db.fetch("SELECT json::json->>'prev_events' FROM events WHERE event_id = %s", [said])
        assert rows == [(f'["{head}"]',)]
        assert (await portal.batch(event(0), forward_if_no_messages=True)).status == 200
        assert await portal.texts() == ["0", "1", "2", "3", "live"]
        rows = await w.near.db.fetch("SELECT rule_bits FROM timeline WHERE event_id LIKE '$chosen%'")
        assert set(rows) == {(0,)}  # nobody is notified
        assert (await portal.batch(event(4), forward=True, send_notification=True)).status == 200
        rows = await w.near.db.fetch("SELECT rule_bits <> 0 FROM timeline WHERE event_id LIKE '$chosen4%'")
        assert rows == [(True,)]

    play(database_url, scenario)


def test_other_servers_never_meet_what_was_imported(database_url: str) -> None:
    async def scenario(w: ServiceWorld) -> None:
        portal = await Portal.made(w)
        said = await portal.say("live")
        await portal.batch(event(1), event(2), forward=True)
        chosen = "$chosen2:irc.example"
        assert await federated_rooms.extremities(w.db, portal.room_id) == [said]
        assert await federated_rooms.pdus(w.db, [chosen]) == {}
        graph, version = Graph(w.db), ROOM_VERSIONS["11"]
        assert [one.event_id for one in await graph.events(portal.room_id, version, [chosen, said])] == [said]
        assert await graph.ancestors(portal.room_id, version, [chosen], 10) == []

    play(database_url, scenario)


def test_a_reader_is_marked_as_having_read_all(database_url: str) -> None:
    async def scenario(w: ServiceWorld) -> None:
        portal = await Portal.made(w)
        answer = await portal.batch(event(1), event(2), forward=True, mark_read_by="@alice:test")
        assert answer.status == 200
        rows = await w.near.db.fetch("SELECT user_id, event_id FROM receipts")
        assert rows == [("@alice:test", "$chosen2:irc.example")]
        stranger = await portal.batch(event(3), forward=True, mark_read_by="@bob:test")
        assert (stranger.status, stranger.errcode) == (403, "M_FORBIDDEN")

    play(database_url, scenario)


def test_imported_messages_can_be_answered_edited_and_redacted(database_url: str) -> None:
    async def scenario(w: ServiceWorld) -> None:
        portal = await Portal.made(w)
        await portal.say("live")
        thumb = {"m.relates_to": {"rel_type": "m.annotation", "event_id": "$chosen1:irc.example", "key": "👍"}}
        await portal.batch(event(1), event(2, type="m.reaction", content=thumb))
        relations = await w.ask(
            "GET",
            f"/_matrix/client/v1/rooms/{quote(portal.room_id)}/relations/{quote('$chosen1:irc.example')}",
            token=portal.alice,
        )
        assert [one["event_id"] for one in relations.json["chunk"]] == ["$chosen2:irc.example"]
        path = f"/rooms/{quote(portal.room_id)}/redact/{quote('$chosen1:irc.example')}/t"
        assert (await w.ask("PUT", path, {}, SERVICE)).status == 200
        first = (await portal.messages())[0]
        assert (first["event_id"], first["content"]) == ("$chosen1:irc.example", {})

    play(database_url, scenario)


def test_without_ids_of_the_bridge_they_are_made_here(database_url: str) -> None:
    async def scenario(w: ServiceWorld) -> None:
        for version in ("1", "12"):
            room_id = (await w.ask("POST", "/createRoom", {"room_version": version}, SERVICE)).json["room_id"]
            portal = Portal(w, room_id, SERVICE)
            same = event(1, event_id=None)
            answer = await portal.batch(same, same, event(2, event_id="$" + "a" * 43))
            assert len(set(answer.json["event_ids"])) == 3
            assert await portal.texts() == ["1", "1", "2"]

    play(database_url, scenario)


def test_who_may_import_what(database_url: str) -> None:
    async def scenario(w: ServiceWorld) -> None:
        portal = await Portal.made(w)
        cases: list[tuple[Answer, int, str]] = [
            (await portal.batch(event(1), token=portal.alice), 403, "M_FORBIDDEN"),
            (await portal.batch(event(1, sender="@alice:test")), 403, "M_FORBIDDEN"),
            (await portal.batch(event(1, state_key="")), 400, "M_BAD_JSON"),
            (await portal.batch(event(1, room_id="!other:test")), 400, "M_BAD_JSON"),
            (await portal.batch(event(1, content={"n": 2**60})), 400, "M_BAD_JSON"),
            (await portal.batch(event(1, origin_server_ts="now")), 400, "M_BAD_JSON"),
            (await portal.batch(event(1, content={"body": "x" * 70_000})), 413, "M_TOO_LARGE"),
            (await portal.batch(*[event(1)] * 1_001), 413, "M_TOO_LARGE"),
            (await portal.batch(), 400, "M_BAD_JSON"),
            (await Portal(w, "!nowhere:test", "").batch(event(1)), 404, "M_NOT_FOUND"),
        ]
        for answer, status, errcode in cases:
            assert (answer.status, answer.errcode) == (status, errcode)
        assert await portal.texts() == []
        puppets = {"users": [{"regex": "@.*", "exclusive": False}]}
        await w.near.call(set_service("puppets", url=None, namespaces=puppets))
        assert (await portal.batch(event(1, sender="@alice:test"))).status == 200
        other = await Portal(w, (await w.ask("POST", "/createRoom", {}, portal.alice)).json["room_id"], "").batch(
            event(1)
        )
        assert other.errcode == "M_FORBIDDEN"

    play(database_url, scenario)


def test_an_id_of_another_room_is_refused(database_url: str) -> None:
    async def scenario(w: ServiceWorld) -> None:
        portal = await Portal.made(w)
        await portal.batch(event(1))
        room_id = (await w.ask("POST", "/createRoom", {}, SERVICE)).json["room_id"]
        for forward in (False, True):
            answer = await Portal(w, room_id, SERVICE).batch(event(1), forward=forward)
            assert (answer.status, answer.errcode) == (400, "M_INVALID_PARAM")

    play(database_url, scenario)
