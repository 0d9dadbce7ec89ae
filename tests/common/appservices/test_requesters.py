"""Whom services act as is remembered, and made accounts are known from the log before anybody asks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hs_common.appservices.registry import ServiceRegistry
from hs_common.appservices.requesters import ServiceRequesters
from hs_common.http.credentials import hash_token
from hs_common.http.request import Query, Requester
from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import RegisterUser, SetUserState
from hs_common.storage import users
from hs_common.storage.queries import Queries
from hs_common.storage.users import Account
from tests.master.harness import SERVER, TestMaster, master
from tests.master.services import set_service
from tests.reactor import run

GHOST, OTHER = "@irc_ghost:test", "@irc_other:test"


class Process:
    """Counts how often accounts are read."""

    def __init__(self, m: TestMaster, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_fresh = True
        self.asked: list[str] = []
        registry = ServiceRegistry(m.db, SERVER, lambda: self.is_fresh)
        self.requesters = ServiceRequesters(m.db, registry, lambda: self.is_fresh)
        accounts = users.accounts

        async def counted(db: Queries, user_ids: list[str]) -> dict[str, Account]:
            self.asked += user_ids
            return await accounts(db, user_ids)

        monkeypatch.setattr("hs_common.appservices.requesters.accounts", counted)

    async def ask(self, user_id: str) -> Requester:
        found = await self.requesters.requester(hash_token("as_irc"), Query(f"user_id={user_id}".encode()))
        assert found is not None
        return found


@asynccontextmanager
async def process(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[TestMaster, Process]]:
    async with master(database_url) as m:
        await m.call(set_service())
        for user_id in (GHOST, OTHER):
            await m.call(RegisterUser(user_id=user_id, password_hash=None, appservice_id="irc"))
        yield m, Process(m, monkeypatch)


def test_made_ghosts_are_known_where_services_act(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        async with process(database_url, monkeypatch) as (_, p):
            p.requesters.made(OTHER, locked=False, suspended=False, deactivated=False)
            assert not (await p.ask(GHOST)).locked
            assert (await p.ask(OTHER)).user_id == OTHER
            assert p.asked == [GHOST, OTHER]  # before, no service had acted here
            third = "@irc_third:test"
            p.requesters.made(third, locked=True, suspended=True, deactivated=False)
            asked = await p.ask(third)
            assert (asked.locked, asked.suspended, asked.app_service_id) == (True, True, "irc")
            assert p.asked == [GHOST, OTHER]

    run(play())


def test_what_was_told_before_does_not_outlive_a_change_or_a_silent_log(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        async with process(database_url, monkeypatch) as (m, p):
            await p.ask(GHOST)
            p.requesters.made(OTHER, locked=False, suspended=False, deactivated=False)
            await m.call(SetUserState(user_id=OTHER, locked=True))
            p.is_fresh = False
            assert (await p.ask(OTHER)).locked
            p.is_fresh = True
            p.requesters.forget_user(OTHER)
            assert (await p.ask(OTHER)).locked
            p.requesters.void()
            p.requesters.made("@irc_nobody:test", locked=False, suspended=False, deactivated=False)
            with pytest.raises(MatrixError) as refused:
                await p.ask("@irc_nobody:test")
            assert refused.value.status == 403

    run(play())


def test_a_services_own_user_is_always_read(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        async with process(database_url, monkeypatch) as (m, p):
            await m.call(set_service(namespaces={"users": [{"regex": "@irc.*", "exclusive": True}]}))
            await p.ask(GHOST)
            p.requesters.made("@ircbot:test", locked=True, suspended=False, deactivated=False)
            assert not (await p.ask("@ircbot:test")).locked
            assert p.asked == [GHOST, "@ircbot:test"]

    run(play())
