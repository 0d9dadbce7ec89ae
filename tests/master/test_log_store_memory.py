"""The log in memory: the contract, and the faults that only a simulation has."""

import itertools
import random
import uuid

import pytest

from hs_common.storage.queries import DatabaseUnavailable
from hs_master.log_store.memory import Crashed, Fault, Faults, MemoryLog, MemoryLogStore, NoFaults, SeededFaults
from hs_master.log_store.types import Batch, Cell, Committed, Doubt, LogStore
from tests.master.log_store_contract import THINGS, WRITES, LogStoreContract, batch, first_batch, leading
from tests.reactor import run


class MemoryWorld:
    def __init__(self) -> None:
        clock = itertools.count(1_000)
        self.log = MemoryLog(lambda: next(clock))

    def store(self, faults: Faults | None = None) -> MemoryLogStore:
        return MemoryLogStore(self.log, faults, WRITES)

    async def things(self) -> list[tuple[Cell, ...]]:
        return sorted(self.log.rows[THINGS.name], key=lambda row: int(row[0] or 0))

    async def end_session(self, store: LogStore) -> None:
        assert isinstance(store, MemoryLogStore)
        self.log.end_session(store)


@pytest.fixture
def world() -> MemoryWorld:
    return MemoryWorld()


class TestMemory(LogStoreContract):
    pass


class Chosen(NoFaults):
    """One fault, for every batch; `late`: whether what is delayed arrives."""

    def __init__(self, fault: Fault, late: bool = False) -> None:
        self.fault = fault
        self.late = late

    async def befall(self, batch: Batch) -> Fault:
        return self.fault

    def arrives(self, batch: Batch) -> bool:
        return self.late


@pytest.mark.parametrize(
    ("faults", "committed"),
    [
        (Chosen(Fault.LOSE_REQUEST), False),
        (Chosen(Fault.LOSE_REPLY), True),
        (Chosen(Fault.DELAY_REQUEST, late=False), False),
        (Chosen(Fault.DELAY_REQUEST, late=True), True),
    ],
)
def test_a_doubt_is_resolved_to_what_happened(world: MemoryWorld, faults: Chosen, committed: bool) -> None:
    async def check() -> None:
        store = world.store(faults)
        leadership = await leading(store)
        one = first_batch(leadership)
        assert isinstance(await store.commit(one), Doubt)
        resolved = await store.resolve_doubt(one)
        assert resolved.committed is committed
        assert resolved.leadership is not None
        assert resolved.leadership.head == (one.pos if committed else 0)
        assert len(await store.read(0, 10)) == int(committed)

    run(check())


@pytest.mark.parametrize(("fault", "entries"), [(Fault.CRASH_BEFORE, 0), (Fault.CRASH_AFTER, 1)])
def test_a_crash_lets_the_standby_lead(world: MemoryWorld, fault: Fault, entries: int) -> None:
    async def check() -> None:
        store, standby = world.store(Chosen(fault)), world.store()
        leadership = await leading(store)
        with pytest.raises(Crashed):
            await store.commit(first_batch(leadership))
        after = await leading(standby, 2)
        assert len(await standby.read(0, 10)) == entries
        with pytest.raises(DatabaseUnavailable):
            await store.beat()
        assert await standby.commit(first_batch(after)) == Committed()

    run(check())


def test_a_dethroned_leader_whose_batch_was_under_way_cannot_write_after_the_take(world: MemoryWorld) -> None:
    async def check() -> None:
        store, standby = world.store(Chosen(Fault.DELAY_REQUEST, late=True)), world.store()
        one = first_batch(await leading(store))
        assert isinstance(await store.commit(one), Doubt)
        assert await standby.dethrone()  # waits for the last transaction: it arrived
        after = await leading(standby, 2)
        assert after.head == one.pos
        resolved = await store.resolve_doubt(one)
        assert (resolved.committed, resolved.leadership) == (True, None)

    run(check())


@pytest.mark.parametrize("seed", range(50))
def test_over_any_faults_what_was_committed_is_one_chain(seed: int) -> None:

    rng = random.Random(seed)
    world = MemoryWorld()
    kinds = (Fault.LOSE_REQUEST, Fault.LOSE_REPLY, Fault.DELAY_REQUEST)
    faults = SeededFaults(rng.random, [(kind, 0.15) for kind in kinds])

    async def check() -> None:
        store = world.store(faults)
        leadership = await leading(store)
        prev, pos, acknowledged = leadership.head, leadership.first, []
        for _ in range(40):
            one = batch(leadership, prev, pos, body=uuid.UUID(int=rng.getrandbits(128)).bytes)
            if isinstance(await store.commit(one), Doubt):
                resolved = await store.resolve_doubt(one)
                assert resolved.leadership is not None
                leadership, prev, pos = resolved.leadership, resolved.leadership.head, resolved.leadership.first
                assert resolved.committed is (leadership.head == one.pos)
                if resolved.committed:
                    acknowledged.append(one.body)
            else:
                prev, pos = one.pos, one.pos + rng.randrange(1, 5)
                acknowledged.append(one.body)
        entries = await store.read(0, 1000)
        assert [entry.body for entry in entries] == acknowledged
        assert all(after.prev == before.pos for before, after in itertools.pairwise(entries))

    run(check())
