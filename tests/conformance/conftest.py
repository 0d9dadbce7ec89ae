"""One server in one process, with an account and a room, for all tests of this folder."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.scenarios.client import http_session, register
from tests.scenarios.server import Server


@dataclass(frozen=True, slots=True)
class Ground:
    """A running server, Alice's token, her room and an event in it."""

    server: Server
    access_token: str
    user_id: str
    room_id: str
    event_id: str


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    """The server that all tests here ask."""
    with Server() as server:
        yield asyncio.run(_prepared(server))


async def _prepared(server: Server) -> Ground:
    async with http_session() as http:
        alice = await register(http, [server.url], "alice")
        room_id = await alice.create_room()
        event_id = await alice.send(room_id, "hello")
        assert alice.access_token is not None
        return Ground(server, alice.access_token, alice.user_id, room_id, event_id)
