"""A hint about key counts is told at once, with a counter like every value that is not kept."""

from twisted.internet.task import Clock

from hs_common.replication.calls import Answer
from hs_common.replication.encryption_calls import HintKeyCounts
from hs_common.replication.ephemeral import KeyCounts, decode_message
from hs_master.ephemeral import EphemeralDesk


def test_each_device_is_told_of() -> None:
    told: list[tuple[int, bytes]] = []
    desk = EphemeralDesk(Clock(), lambda: 1_000, lambda counter, body: told.append((counter, body)))
    devices = [("@alice:test", "A"), ("@bob:test", "B")]
    assert desk.take(HintKeyCounts(devices=devices)) == Answer(pos=0)
    assert [decode_message(body) for _, body in told] == [KeyCounts(*device) for device in devices]
    assert told[0][0] < told[1][0]
