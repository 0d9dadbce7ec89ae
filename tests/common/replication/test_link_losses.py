"""Masters that end while they have a call: the worker counts them, so that a call that kills does not kill all."""

from hs_common.replication.link_server import Leadership
from tests.common.replication.test_link import World


def test_masters_that_did_not_survive_a_call_are_counted() -> None:
    world = World()
    first, second, third = (world.master(f"{name}:1", epoch=number) for number, name in enumerate(("one", "b", "c"), 1))
    world.start()
    world.call("hang")
    world.network.turn(0.1)
    world.leader = "b:1"
    first.server.close()  # without a word: as when its process ends
    world.network.turn(1)
    world.leader = "c:1"
    second.leadership = Leadership(None, "c:1")
    second.server.step_down()  # in order
    world.network.turn(1)
    assert [master.infos[0].losses for master in (first, second, third)] == [0, 1, 1]
