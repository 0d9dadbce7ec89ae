"""A small process for the test of its end: one waiting endpoint, a step, and background work. Says its port."""

import sys

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from hs_common.http.authentication import Authenticator
from hs_common.http.dispatcher import Dispatcher
from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.listener import Listener
from hs_common.http.rate_limits import RateLimits
from hs_common.http.reception import Reception
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.http.router import Router
from hs_common.process.background import Background
from hs_common.process.health import Health, Watchdog
from hs_common.process.metrics import Metrics
from hs_common.process.operating import Operating
from hs_common.process.service import Service
from tests.common.http.accounts import Accounts
from tests.reactor import sleep


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Waiting:
    """A long poll that is answered when the process drains."""

    def __init__(self) -> None:
        self.draining: Deferred[None] = Deferred()

    @endpoint("GET", "/wait", auth=Auth.NONE, spec="#wait", waits=True)
    async def wait(self, request: Request) -> Reply:
        say("waiting")
        await self.draining
        return {"next_batch": "unchanged"}

    async def drain(self) -> None:
        self.draining.callback(None)


def main(broken: bool) -> bool:
    health, background, metrics, waiting = Health(reactor), Background(), Metrics(), Waiting()
    router = Router()
    router.add(waiting, "client")
    router.add(Operating(health, metrics), "client")
    dispatcher = Dispatcher(Authenticator(Accounts(), lambda: 0, lambda: True), RateLimits({}, lambda: 0.0))
    reception = Reception(router, dispatcher, metrics, lambda: 0.0, lambda: "now", lambda: "id", lambda address: False)
    service = Service(reactor, health, background, Watchdog(reactor), accept_on_s=0.3)

    async def start() -> None:
        say("started step")

    async def stop() -> None:
        say("stopped step")

    async def late() -> None:
        await sleep(0.6)
        say("background done")

    async def announce() -> None:
        if broken:
            raise RuntimeError("no database")
        background("late", late())
        say(f"port {service.ports[0]}")

    service.step("step", start, stop)
    service.finish_background()
    service.listen(Listener(reception, reactor), "127.0.0.1", 0)
    service.step("announce", announce)
    service.when_draining("waiting", waiting.drain)
    return service.run()


if __name__ == "__main__":
    sys.exit(0 if main(broken="broken" in sys.argv) else 1)
