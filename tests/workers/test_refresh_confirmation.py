"""A refresh may be repeated until its new tokens are used, and not afterwards. Over the real master."""

from collections.abc import Awaitable, Callable

import pytest

from hs_common.http.authentication import Authenticator
from hs_common.http.credentials import hash_token
from hs_common.http.request import Query
from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import Answer, Call, ConfirmRefresh, NewSession, RefreshSession, RegisterUser
from hs_common.replication.link_interface import DEFAULT_OPTIONS, CallOptions
from hs_workers import refresh_confirmation
from hs_workers.refresh_confirmation import RefreshConfirmation
from tests.master.harness import TestMaster, master
from tests.reactor import run

NOW_MS, LATER_MS = 1_700_000_000_000, 1_800_000_000_000


class RecordingLink:
    def __init__(self, near: TestMaster) -> None:
        self._near = near
        self.calls: list[Call] = []

    async def call(self, call: Call, key: bytes | None = None, options: CallOptions = DEFAULT_OPTIONS) -> Answer:
        self.calls.append(call)
        return await self._near.call(call, key)


class World:
    """A user with a session that was refreshed, once or more; what uses of tokens ask for is in `used`."""

    def __init__(self, near: TestMaster) -> None:
        self.link = RecordingLink(near)
        self.confirmation = RefreshConfirmation(near.db, self.link)
        self.used: list[bytes] = []
        self._authenticator = Authenticator(near.db, lambda: NOW_MS, lambda: False)
        self._authenticator.on_expiring_token = self.used.append

    async def register(self, expires_at_ms: int | None) -> None:
        hashes = (hash_token("access0"), hash_token("refresh0"))
        session = NewSession(device_id="D", token_hash=hashes[0], refresh_hash=hashes[1], expires_at_ms=expires_at_ms)
        await self.link.call(RegisterUser(user_id="@a:test", password_hash=None, session=session))

    async def refresh(self, old: str, number: int) -> None:
        call = RefreshSession(
            user_id="@a:test",
            refresh_hash=hash_token(old),
            token_hash=hash_token(f"access{number}"),
            expires_at_ms=LATER_MS,
            new_refresh_hash=hash_token(f"refresh{number}"),
        )
        await self.link.call(call)

    async def use(self, access_token: str) -> None:
        await self._authenticator.requester(hash_token(access_token), Query())
        for token_hash in self.used:
            await self.confirmation.confirm(token_hash)
        self.used.clear()

    def confirmed(self) -> int:
        return sum(isinstance(call, ConfirmRefresh) for call in self.link.calls)


def play(database_url: str, scenario: Callable[[World], Awaitable[None]]) -> None:
    async def played() -> None:
        async with master(database_url) as near:
            await scenario(World(near))

    run(played())


def test_the_old_tokens_die_when_the_new_one_is_first_used(database_url: str) -> None:
    async def scenario(world: World) -> None:
        await world.register(LATER_MS)
        await world.refresh("refresh0", 1)
        await world.refresh("refresh0", 2)  # the first answer was lost
        await world.use("access2")
        assert world.confirmed() == 1
        with pytest.raises(MatrixError) as refused:
            await world.refresh("refresh0", 3)
        assert refused.value.errcode == "M_UNKNOWN_TOKEN"
        for dead in ("access0", "access1"):
            with pytest.raises(MatrixError):
                await world.use(dead)
        await world.use("access2")
        assert world.confirmed() == 1
        await world.refresh("refresh2", 4)

    play(database_url, scenario)


def test_tokens_that_were_never_refreshed_are_left_alone(database_url: str) -> None:
    async def scenario(world: World) -> None:
        await world.register(LATER_MS)
        await world.use("access0")
        assert world.confirmed() == 0
        assert world.confirmation.is_settled(hash_token("access0"))
        await world.refresh("refresh0", 1)
        await world.use("access0")  # the old token is used on: nothing is confirmed by that
        assert world.confirmed() == 0

    play(database_url, scenario)


def test_tokens_that_live_for_ever_are_not_even_asked_about(database_url: str) -> None:
    async def scenario(world: World) -> None:
        await world.register(None)
        await world.use("access0")
        assert not world.confirmation.is_settled(hash_token("access0"))

    play(database_url, scenario)


def test_memory_is_bounded(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh_confirmation, "REMEMBERED_LIMIT", 2)

    async def scenario(world: World) -> None:
        for token_hash in (b"a", b"b", b"c"):
            await world.confirmation.confirm(token_hash)
        assert [world.confirmation.is_settled(token_hash) for token_hash in (b"a", b"b", b"c")] == [False, True, True]

    play(database_url, scenario)
