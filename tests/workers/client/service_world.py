"""A client worker's endpoints with a real master, and an application service that it asks over real HTTP."""

from collections.abc import Awaitable, Callable
from typing import Any

from hs_common.appservices.http_client import ServiceClient
from hs_common.appservices.service_queries import ServiceQueries
from hs_common.config import Secret
from hs_workers.client.account_parts import Outside as AccountsOutside
from hs_workers.client.accounts_wiring import account_endpoints
from hs_workers.client.rooms_wiring import Outside as RoomsOutside
from hs_workers.client.rooms_wiring import room_endpoints
from hs_workers.client.services_wiring import Outside, service_endpoints
from tests.master.harness import SERVER, TestMaster, master
from tests.master.services import set_service
from tests.reactor import reactor, run
from tests.workers.appservice.fake_service import FakeService
from tests.workers.client.room_world import nobody
from tests.workers.client.test_with_the_master import NearLink
from tests.workers.client.world import Inline, Presences, World, config

SECRET = "0123456789abcdef"


class ServiceWorld(World):
    """All endpoints of a client worker. `service` is the application service `irc`."""

    def __init__(self, database_url: str, near: TestMaster, http: ServiceClient) -> None:
        settings = config(server={"name": SERVER}, registration={"shared_secret": Secret(SECRET)})
        super().__init__(database_url, settings, master=NearLink(near))
        self.near = near
        self.service = FakeService()
        queries = ServiceQueries(self.services, http)
        link: Any = NearLink(near)
        accounts = AccountsOutside(
            db=self.db,
            master=link,
            threads=Inline(),
            failures=self.limits,
            presence=Presences(),
            now_ms=lambda: self.now_ms,
            random=lambda size: b"r" * size,
            services=self.services,
            queries=queries,
        )
        rooms = RoomsOutside(
            db=self.db,
            master=link,
            now_ms=lambda: self.now_ms,
            seconds=reactor.seconds,
            random=lambda size: b"r" * size,
            outgoing=nobody(self.db, link),
            services=self.services,
            queries=queries,
        )
        bridges = Outside(self.db, link, self.services, http, lambda: self.now_ms, reactor.seconds)
        self.use(
            [
                *account_endpoints(settings, accounts),
                *room_endpoints(settings, rooms),
                *service_endpoints(settings, bridges),
            ]
        )

    async def register_service(self, **changes: Any) -> None:
        await self.near.call(set_service(**{"url": self.service.url, **changes}))


def play(database_url: str, scenario: Callable[[ServiceWorld], Awaitable[None]]) -> None:
    """Runs a scenario."""

    async def played() -> None:
        http = ServiceClient(reactor)
        async with master(database_url) as near:
            world = ServiceWorld(database_url, near, http)
            world.service.start()
            await world.register_service()
            try:
                await scenario(world)
            finally:
                await http.close()
                await world.service.stop()
                await world.db.close()

    run(played())
