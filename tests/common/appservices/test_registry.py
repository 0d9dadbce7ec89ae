"""What a process knows of application services: read again when the log tells of a change, and while it is silent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from twisted.internet.defer import Deferred, gatherResults

from hs_common.appservices.registry import ServiceRegistry
from hs_common.http.credentials import hash_token
from hs_common.http.request import Requester
from hs_common.replication.calls import RemoveAppService, WakeAppService
from hs_common.replication.entry import Entry, decode_body
from hs_common.replication.subscription import hand_out
from tests.master.harness import SERVER, TestMaster, master
from tests.master.services import set_service
from tests.reactor import run


class Process:
    """A registry that hears of the log while it is not deaf."""

    def __init__(self) -> None:
        self.registry: ServiceRegistry | None = None
        self.is_deaf = False
        self.is_fresh = True

    def hear(self, entry: Entry) -> None:
        if self.registry is not None and not self.is_deaf:
            hand_out([self.registry.subscription()], entry, decode_body(entry))


@asynccontextmanager
async def followed(database_url: str) -> AsyncIterator[tuple[TestMaster, Process, ServiceRegistry]]:
    process = Process()
    async with master(database_url, process.hear) as m:
        process.registry = ServiceRegistry(m.db, SERVER, lambda: process.is_fresh)
        yield m, process, process.registry


def test_changes_are_heard_of(database_url: str) -> None:
    async def play() -> None:
        async with followed(database_url) as (m, _, registry):
            assert await registry.of_token(hash_token("as_irc")) is None
            await m.call(set_service())
            service = await registry.of_token(hash_token("as_irc"))
            assert service is not None
            assert service.id == "irc"
            assert registry.is_reserved("@irc_a:test")
            await m.call(set_service(as_token="another"))
            assert await registry.of_token(hash_token("as_irc")) is None
            assert await registry.of_token(hash_token("another")) is not None
            await m.call(RemoveAppService(service_id="irc"))
            assert await registry.of_token(hash_token("another")) is None

    run(play())


def test_while_the_log_is_silent_every_question_goes_to_the_table(database_url: str) -> None:
    async def play() -> None:
        async with followed(database_url) as (m, process, registry):
            await registry.services()
            process.is_deaf = True
            await m.call(set_service())
            assert await registry.of_token(hash_token("as_irc")) is None  # believed to be heard of
            process.is_fresh = False
            assert await registry.of_token(hash_token("as_irc")) is not None

    run(play())


def test_many_questions_at_once_are_few_readings(database_url: str) -> None:
    async def play() -> None:
        async with followed(database_url) as (m, _, registry):
            await m.call(set_service())
            known = await gatherResults([Deferred.fromCoroutine(registry.services()) for _ in range(20)])
            assert all(services is registry.known for services in known)
            assert registry.known.get("irc") is not None

    run(play())


def test_a_wake_up_changes_nothing_and_is_told(database_url: str) -> None:
    async def play() -> None:
        async with followed(database_url) as (m, _, registry):
            told: list[tuple[str, bool]] = []
            changed: list[bool] = []
            registry.on_item = lambda item: told.append((item.service_id, item.woken))
            registry.when_changed(lambda: changed.append(True))
            await m.call(set_service())
            await m.call(WakeAppService(service_id="irc"))
            assert told == [("irc", False), ("irc", True)]
            assert changed == [True]

    run(play())


def test_exempt_is_who_the_registration_says(database_url: str) -> None:
    def requester(user_id: str, service_id: str | None) -> Requester:
        return Requester(user_id=user_id, device_id=None, token_hash=b"", app_service_id=service_id)

    async def play() -> None:
        async with followed(database_url) as (m, _, registry):
            await m.call(set_service())
            await m.call(set_service("slow", rate_limited=True))
            await registry.services()
            assert registry.is_exempt(requester("@irc_a:test", "irc"))
            assert not registry.is_exempt(requester("@slow_a:test", "slow"))
            assert registry.is_exempt(requester("@slowbot:test", "slow"))
            assert not registry.is_exempt(requester("@alice:test", None))
            assert not registry.is_exempt(requester("@alice:test", "gone"))

    run(play())
