"""sync(0→n) = sync(0→k) + sync(k→n): what a client holds does not depend on when it asked."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.sync.client import Client, differences
from tests.workers.sync.conftest import Play
from tests.workers.sync.histories import USERS, Act, History, filter_of, histories
from tests.workers.sync.world import World


async def told(w: World, user: str, positions: list[int], number: int, use_state_after: bool) -> Client:
    """A client that syncs at these positions, one after the other."""
    client = Client()
    for position in positions:
        client.apply(
            await w.sync(user, client.token, at=position, filter=filter_of(number), use_state_after=use_state_after)
        )
    return client


@settings(max_examples=15)
@given(
    acts=histories,
    cuts=st.lists(st.integers(0, 30), min_size=1, max_size=4),
    number=st.integers(0, 1),
    use_state_after=st.booleans(),
)
def test_in_parts_as_at_once(play: Play, acts: list[Act], cuts: list[int], number: int, use_state_after: bool) -> None:
    async def scenario(w: World) -> None:
        history = History(w)
        await history.begin()
        for act in acts:
            await history.play(act)
        positions = history.positions
        end = positions[-1]
        places = sorted({positions[cut % len(positions)] for cut in cuts})
        for user in USERS:
            whole = await told(w, user, [end], number, use_state_after)
            parts = await told(w, user, [*places, end], number, use_state_after)
            assert differences(whole, parts) == []

    play(scenario)
