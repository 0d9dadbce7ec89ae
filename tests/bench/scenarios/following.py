"""What workers cost that have nothing to do with the events that others write: the price of having many of them.

Users send into rooms in which no application service takes an interest, all by one worker; nobody syncs. Every other
process only follows the log.
"""

from tests.bench.http_client import Connection
from tests.bench.population import Population
from tests.bench.size import Size
from tests.bench.work import FAILURES, Slice, Work, at_pace

_TEXT = "The quick brown fox jumps over the lazy dog."
_LANES = 32
_ENOUGH = 0.9  # of the rate: a server that does not keep up has no figure


async def following(population: Population, size: Size) -> list[Work]:
    """A second of a worker's life, at some rates of events."""
    writers = await population.users(_LANES)
    rooms = [await population.room([writer]) for writer in writers]
    doors = population.address.doors
    entry = doors.next_pair()[1] if doors else population.address
    senders = [writer.through(Connection(entry)) for writer in writers]

    def others_write(per_s: int) -> Work:
        async def run(current: Slice) -> None:
            async def send(lane: int) -> None:
                try:
                    await senders[lane].send(rooms[lane], _TEXT)
                except FAILURES as error:
                    current.failed(error)

            begun = await at_pace(current, per_s, _LANES, send)
            seconds = current.moment() - current.started
            if begun < _ENOUGH * per_s * current.seconds:
                current.failed(TimeoutError(f"only {begun / seconds:.0f} events a second were written"))
            else:
                current.latencies_ms += [1000.0] * max(1, round(seconds))

        return Work(f"following, {per_s} events/s by others", "second", run, idlest=True)

    return [others_write(per_s) for per_s in size.rates_per_s]
