"""A master that does not answer the door: the link gives the dial up and goes on looking."""

from typing import Any

from twisted.internet.defer import Deferred

from hs_common.replication import calls
from hs_common.replication.link import DIAL_SECONDS
from tests.common.replication.test_link import World


def test_a_dial_that_is_given_up_does_not_end_the_link() -> None:
    world = World()
    world.master()
    reach, dialled = world.network.dial, list[str]()

    async def first_into_the_void(address: str, protocol: Any) -> None:
        dialled.append(address)
        if len(dialled) == 1:
            await Deferred()  # nobody answers, nobody refuses
        await reach(address, protocol)

    world.link._dial = first_into_the_void
    world.start()
    world.network.turn(DIAL_SECONDS + 1.0)
    assert len(dialled) > 1
    result = world.call("a")
    world.network.turn(0.2)
    assert result == [calls.Answer(pos=1)]
