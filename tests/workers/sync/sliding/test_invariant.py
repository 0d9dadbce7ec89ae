"""What a client holds does not depend on when it asked, how it moved its windows, nor on whether workers were restarted
between its requests: it is what one that begins now is told.
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.sync.by_plan import Step, by_plan, steps
from tests.workers.sync.conftest import Play
from tests.workers.sync.histories import USERS, Act, histories
from tests.workers.sync.live import Live
from tests.workers.sync.sliding.client import SlidingClient, differences, everything
from tests.workers.sync.world import World

asked = st.tuples(
    st.sampled_from([None, [0, 0], [1, 1], [0, 1]]),  # the window
    st.integers(1, 100),  # events of a timeline
)


def request(window: Any, limit: int) -> dict[str, Any]:
    body = everything() if window is None else everything(range=window)
    body["lists"]["all"]["timeline_limit"] = limit
    return body


@settings(max_examples=12)
@given(acts=histories, plan=st.lists(steps(asked), min_size=1, max_size=5))
def test_in_parts_as_anew(play: Play, acts: list[Act], plan: list[Step]) -> None:
    async def scenario(w: World) -> None:
        clients = {user: SlidingClient() for user in USERS}

        async def ask(live: Live, asked: tuple[Any, int]) -> None:
            for user, client in clients.items():
                await client.sync(live, user, request(*asked))

        live = await by_plan(w, acts, plan, ask)
        for user, client in clients.items():
            await client.sync(live, user, request(None, 100))
            anew = SlidingClient()
            await anew.sync(live, user, {**request(None, 100), "conn_id": "other"})
            assert differences(anew, client) == []

    play(scenario)
