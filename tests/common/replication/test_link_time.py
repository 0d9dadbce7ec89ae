"""What a call may take, where its request has waited already."""

from twisted.internet.defer import Deferred

from hs_common.process.request_id import CURRENT_WAIT_S
from hs_common.replication import calls
from hs_common.replication.link_interface import CALL_SECONDS
from tests.common.replication.log import outcome
from tests.common.replication.test_link import World, error_of


def test_who_waited_for_his_turn_has_so_much_less_time() -> None:
    world = World()
    world.leader = None
    world.start()

    async def call() -> object:
        CURRENT_WAIT_S.set(3.0)
        return await world.link.call(calls.DeleteAlias(alias="a"))

    result = outcome(Deferred.fromCoroutine(call()))
    world.network.turn(CALL_SECONDS - 3.1)
    assert result == []
    world.network.turn(0.2)
    assert error_of(result).status == 503
    other = world.call("b")
    world.network.turn(CALL_SECONDS - 0.1)
    assert other == []
