"""The announcer of the all-in-one process: hands what is committed to the followers in the same process."""

from hs_common.replication.carrier_memory import MemoryCarrier
from hs_common.replication.entry import Entry


class MemoryAnnouncer:
    """Publishes to a carrier in memory, which outlives the epoch."""

    def __init__(self, carrier: MemoryCarrier) -> None:
        self._carrier = carrier

    def start(self) -> None:
        """The carrier runs with its process."""

    async def stop(self) -> None:
        """The carrier runs with its process."""

    def publish(self, entry: Entry) -> None:
        self._carrier.publish(entry)

    def publish_ephemeral(self, counter: int, body: bytes) -> None:
        self._carrier.publish_ephemeral(counter, body)
