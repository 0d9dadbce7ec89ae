"""A server that is kept is filled once, whoever asks for how much."""

import asyncio
from pathlib import Path

from tests.bench.fake_homeserver import FakeHomeserver
from tests.bench.http_client import Address
from tests.bench.kept import Kept
from tests.bench.matrix_client import Client
from tests.bench.population import Population


def test_a_later_run_goes_on_with_the_rooms_and_messages_that_are_there(tmp_path: Path) -> None:
    async def check() -> None:
        server = FakeHomeserver()
        await server.start()
        try:
            sent, rooms, owners = [], [], []
            for run, messages in (("first", 7), ("second", 7), ("third", 9)):
                before = server.seen["send"]
                many = await Population(Address(server.url), run, kept=Kept(tmp_path / "fake")).many_rooms()
                rooms.append(await many.rooms(3))
                await many.speak(rooms[-1], messages)
                owners.append((many.owner.user_id, many.owner.token))
                sent.append(server.seen["send"] - before)
            assert sent == [7, 0, 2]
            assert rooms[0] == rooms[1] == rooms[2]
            assert len(set(owners)) == 1
        finally:
            server.stop()

    asyncio.run(check())


def test_the_port_stays(tmp_path: Path) -> None:
    ports = iter((5, 6))
    assert [Kept(tmp_path / "one").port(lambda: next(ports)) for _ in range(2)] == [5, 5]
    assert Kept(tmp_path / "other").port(lambda: next(ports)) == 6


def test_two_clients_of_a_user_never_have_the_same_transaction() -> None:
    client = Client(Address("http://127.0.0.1:1"))
    prefixes = set()
    for _ in range(50):
        another = client.another()
        prefixes.add(another._prefix)
        del another  # whose place in memory the next one may get
    assert len(prefixes) == 50
