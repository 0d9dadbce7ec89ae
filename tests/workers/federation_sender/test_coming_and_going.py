"""Servers that come into a room, that cannot be reached, and that are gone for good."""

from typing import Any

import pytest

from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import RegisterUser
from hs_common.replication.ephemeral import Presence
from hs_common.storage import destinations
from hs_workers.client.federation_administration import FederationAdministration
from hs_workers.federation_sender import sender
from tests.master.harness import SERVER, START_MS
from tests.reactor import run, sleep, until
from tests.workers.federation_sender.world import ALICE, STEADY, World, world

BOB, CAROL = "@bob:there", "@carol:else"
ERIN, FRED = f"@erin:{SERVER}", f"@fred:{SERVER}"


def test_who_comes_to_share_a_room_is_told_who_is_online(database_url: str) -> None:
    def told(w: World, server: str) -> list[str]:
        return [push["user_id"] for edu in w.elsewhere.edus(server, "m.presence") for push in edu["push"]]

    async def play() -> None:
        async with world(database_url) as w:
            worker = w.start_worker(STEADY)
            for user_id in (ERIN, FRED):
                await w.master.call(RegisterUser(user_id=user_id, password_hash=None))
            room = await w.shared_room(BOB)
            await w.master.member(room, FRED, "join")
            await until(lambda: "there" in w.elsewhere.transactions)
            for user_id, presence in ((ALICE, "online"), (ERIN, "unavailable"), (FRED, "offline")):
                worker.deliveries.heard(Presence(user_id, presence, 0, False, None))
            await until(lambda: told(w, "there") == [ALICE, FRED])
            await w.join(room, CAROL)
            await until(lambda: told(w, "else") == [ALICE])  # of those who are there, and online
            await w.master.member(room, ERIN, "join")
            await until(lambda: (told(w, "there")[2:], told(w, "else")[1:]) == ([ERIN], [ERIN]))
            await w.join(room, "@else_too:else")
            await w.master.send(room, ALICE, "the last word")
            await until(lambda: w.elsewhere.bodies("else") == ["the last word"])
            assert told(w, "else") == [ALICE, ERIN]

    run(play())


def test_who_is_away_for_good_and_shares_no_room_is_given_up(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "FIRST_RETRY_S", 0.02)
    monkeypatch.setattr(sender, "RETRY_GROWTH", 1.0)
    monkeypatch.setattr(sender, "RETIRED_FAILURES", 4)

    async def play() -> None:
        async with world(database_url) as w:
            worker = w.start_worker(STEADY)
            room, others = await w.shared_room(BOB), await w.shared_room(CAROL)
            await until(lambda: {"there", "else"} <= w.elsewhere.transactions.keys())
            w.elsewhere.away |= {"there", "else"}
            await w.master.send(others, ALICE, "for whom is away and in the room")
            await w.master.member(room, ALICE, "leave", BOB)
            for _ in range(1_000):
                rows = await destinations.listed(w.master.db)
                behind = {row[0]: (row[1], row[3]) for row in rows}
                if behind["there"] == (False, 0) and behind["else"][1] > 4:
                    break
                await sleep(0.05)
            assert behind["there"] == (False, 0)
            assert behind["else"][0] is True
            assert worker.deliveries.failing == 1
            w.elsewhere.away.clear()
            await until(lambda: w.elsewhere.bodies("else") == ["for whom is away and in the room"])
            await w.master.member(room, ALICE, "invite", BOB)  # who is given up is told what comes up later
            await w.join(room, BOB)
            await w.master.send(room, ALICE, "welcome back")
            await until(lambda: w.elsewhere.bodies("there") == ["welcome back"])

    run(play())


def test_an_operator_sees_who_cannot_be_reached_and_has_it_tried_at_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "FIRST_RETRY_S", 3_000.0)

    def about(destination: str) -> Request:
        return Request(method="GET", uri_path="/", path={"destination": destination}, query_string=b"")

    async def play() -> None:
        async with world(database_url) as w:
            worker = w.start_worker(STEADY)
            room = await w.shared_room(BOB)
            await until(lambda: "there" in w.elsewhere.transactions)
            w.elsewhere.away.add("there")
            await w.master.send(room, ALICE, "when you can")
            await until(lambda: worker.deliveries.failing == 1)
            link: Any = w.master
            administration = FederationAdministration(w.master.db, link, "secret", lambda: START_MS)
            told: Any = {}
            for _ in range(1_000):  # until the failure is in the sender's row
                listed: Any = await administration.list_for_tools(about(""))
                (told,) = listed["destinations"]
                if told["failure_ts"] is not None:
                    break
                await sleep(0.05)
            assert (told["destination"], told["failure_ts"]) == ("there", START_MS)
            assert told["retry_interval"] > 1_000_000
            assert await administration.show_for_tools(about("there")) == told
            for name, status in (("nowhere", 404), ("no name", 400)):
                with pytest.raises(MatrixError) as refused:
                    await administration.reset(about(name))
                assert refused.value.status == status
            w.elsewhere.away.clear()
            await administration.reset(about("there"))
            await until(lambda: w.elsewhere.bodies("there") == ["when you can"])
            assert worker.deliveries.failing == 0

    run(play())
