"""Memory and PostgreSQL, given the same acts in the same order, tell the same story."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hs_common.storage.queries import DatabaseUnavailable
from hs_master.log_store import takeover
from hs_master.log_store.memory import MemoryLog, MemoryLogStore
from hs_master.log_store.postgres import PostgresLogStore
from hs_master.log_store.types import Answer, Cell, Committed, Doubt, Leadership, LogStore, Refused, Write
from tests.master.log_store_contract import THINGS, WRITES, batch, candidate
from tests.master.test_log_store_memory import MemoryWorld
from tests.master.test_log_store_postgres import PostgresWorld
from tests.reactor import reactor, run

ACTS = st.sampled_from(
    ["commit", "commit", "rows", "bad text", "bad number", "answer", "old epoch", "same place", "beat", "take", "cut"]
)
NOW_US = 1_000  # the clock stands, so that both count the same positions
_RESET = (
    "TRUNCATE outbox, epochs, answers, things;"
    " UPDATE leader SET epoch = 0, beat = 0, holder = NULL, address = NULL, format = 1"
)


END_WAIT_MS = 60_000  # a session that PostgreSQL takes long to end on a busy machine is no other story


@pytest.fixture(scope="module")
def postgres_world(postgres: object) -> Iterator[PostgresWorld]:
    with postgres.database() as url, pytest.MonkeyPatch.context() as patch:  # type: ignore[attr-defined]
        patch.setattr(takeover, "END_WAIT_MS", END_WAIT_MS)
        world = PostgresWorld(url)
        yield world
        run(world.close())


class Teller:
    """Does the acts on one store and writes down what came of them."""

    def __init__(self, world: MemoryWorld | PostgresWorld, store: LogStore) -> None:
        self.world = world
        self.store = store
        self.story: list[object] = []
        self.number = itertools.count(1)
        self.prev = self.pos = 0
        self.leadership = Leadership(0, 0, 0, 0)

    async def tell(self, acts: list[str]) -> list[object]:
        await self.store.wait_for_lock()
        self._led(await self.store.take(candidate()))
        for act in acts:
            await self._act(act)
        entries = await self.store.read(0, 1_000)
        self.story.append([(e.pos, e.prev, e.epoch, e.body) for e in entries])
        self.story.append(sorted(await self.store.answers([bytes(16), bytes(15) + b"\x01"])))
        self.story.append(await self.world.things())
        observed = await self.store.observe()
        self.story.append((observed.epoch, observed.holder))
        await self.store.release()
        return self.story

    def _led(self, leadership: Leadership) -> None:
        self.leadership, self.prev, self.pos = leadership, leadership.head, leadership.first
        self.story.append(leadership)

    async def _act(self, act: str) -> None:
        number = next(self.number)
        if act == "take":
            await self._take(number)
        elif act == "cut":
            await self.world.end_session(self.store)
        elif act == "beat":
            await self._beat()
        else:
            await self._commit(act, number)

    async def _take(self, number: int) -> None:
        try:
            self._led(await self.store.take(candidate(number)))
        except DatabaseUnavailable:
            self.story.append("unavailable")

    async def _beat(self) -> None:
        try:
            self.story.append(await self.store.beat())
        except DatabaseUnavailable:
            self.story.append("unavailable")

    async def _commit(self, act: str, number: int) -> None:
        acts: dict[str, dict[Write, Sequence[Sequence[Cell]]]] = {
            "rows": {THINGS: [(number, "x", b"\x00", None)]},
            "bad text": {THINGS: [(number, "\0", b"", True)]},
            "bad number": {THINGS: [(number, "x", b"", True), (2**63, "x", b"", True)]},
        }
        answers = [Answer(bytes(16), self.pos, b"answer")] if act == "answer" else []
        one = batch(self.leadership, self.prev, self.pos, rows=acts.get(act), answers=answers, body=b"%d" % number)
        if act == "old epoch":
            one = replace(one, epoch=self.leadership.epoch - 1)
        if act == "same place":
            one = replace(one, pos=max(self.prev, 1), prev=max(self.prev, 1) - 1)
        outcome = await self.store.commit(one)
        self.story.append((type(outcome).__name__, outcome.sqlstate if isinstance(outcome, Refused) else None))
        if isinstance(outcome, Committed):
            self.prev, self.pos = one.pos, one.pos + 1
        if isinstance(outcome, Doubt):
            resolved = await self.store.resolve_doubt(one)
            self.story.append(resolved.committed)
            assert resolved.leadership is not None
            self._led(resolved.leadership)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(acts=st.lists(ACTS, min_size=1, max_size=12))
def test_they_tell_the_same_story(postgres_world: PostgresWorld, acts: list[str]) -> None:
    run(postgres_world.pool.execute(_RESET))
    memory = MemoryWorld()
    memory.log = MemoryLog(lambda: NOW_US)
    real = PostgresLogStore(postgres_world.url, reactor, postgres_world.pool, lambda: NOW_US, WRITES)
    told = run(Teller(memory, MemoryLogStore(memory.log, None, WRITES)).tell(acts))
    assert run(Teller(postgres_world, real).tell(acts)) == told
