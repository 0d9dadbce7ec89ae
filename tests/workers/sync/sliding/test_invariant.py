"""What a client holds does not depend on when it asked, how it moved its windows, nor on whether workers were restarted
between its requests: it is what one that begins now is told.
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.sync.conftest import Play
from tests.workers.sync.histories import USERS, Act, History, histories
from tests.workers.sync.live import Live
from tests.workers.sync.sliding.client import SlidingClient, differences, everything
from tests.workers.sync.world import World

steps = st.tuples(
    st.integers(0, 24),  # after which act
    st.sampled_from([None, [0, 0], [1, 1], [0, 1]]),  # the window
    st.integers(1, 100),  # events of a timeline
    st.booleans(),  # whether the worker is restarted before
    st.booleans(),  # whether the worker has followed the log
)


def request(window: Any, limit: int) -> dict[str, Any]:
    body = everything() if window is None else everything(range=window)
    body["lists"]["all"]["timeline_limit"] = limit
    return body


@settings(max_examples=12)
@given(acts=histories, plan=st.lists(steps, min_size=1, max_size=5))
def test_in_parts_as_anew(play: Play, acts: list[Act], plan: list[Any]) -> None:
    async def scenario(w: World) -> None:
        history = History(w)
        await history.begin()
        live = Live(w)
        live.start()
        clients = {user: SlidingClient() for user in USERS}
        for number, act in enumerate(acts):
            await history.play(act)
            for after, window, limit, restarted, followed in plan:
                if after % len(acts) != number:
                    continue
                if restarted:
                    live = Live(w)
                    live.start()
                if followed:
                    live.follow()
                for user, client in clients.items():
                    await client.sync(live, user, request(window, limit))
        live.follow()
        for user, client in clients.items():
            await client.sync(live, user, request(None, 100))
            anew = SlidingClient()
            await anew.sync(live, user, {**request(None, 100), "conn_id": "other"})
            assert differences(anew, client) == []

    play(scenario)
