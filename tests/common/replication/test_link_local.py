"""The link of the all-in-one process while its master does not lead."""

from random import Random

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from hs_common.replication import calls
from hs_common.replication.link_local import LEADERLESS_PAUSE_S, LocalLink
from hs_common.replication.link_server import CallInfo, LeaderElsewhere
from tests.common.replication.log import outcome


def test_the_local_link_waits_for_a_master_that_does_not_lead_yet() -> None:
    clock, tries = Clock(), list[int]()

    async def work(name: str, body: msgspec.Raw, info: CallInfo) -> bytes:
        tries.append(info.tries)
        if clock.seconds() < 1.0:
            raise LeaderElsewhere
        return calls.encode(calls.Answer(pos=7))

    link = LocalLink(clock, Random(1).randbytes, work)
    result = outcome(Deferred.fromCoroutine(link.call(calls.DeleteAlias(alias="a"))))
    clock.pump([0.0, *[LEADERLESS_PAUSE_S] * 12])
    assert result == [calls.Answer(pos=7)]
    assert tries == list(range(1, len(tries) + 1))
    assert len(tries) > 2
    assert clock.getDelayedCalls() == []
