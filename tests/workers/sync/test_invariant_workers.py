"""The same as test_invariant, by workers: whichever way they answer, from memory or from the database, and restarted in
between, a client ends up with what it would have been told at once.
"""

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from hs_common.matrix.filters import parse_filter
from hs_common.matrix.tokens import parse_sync_token
from hs_workers.sync.parameters import Reader, Wishes
from tests.workers.sync.by_plan import Step, by_plan, steps
from tests.workers.sync.client import Client, differences
from tests.workers.sync.conftest import Play
from tests.workers.sync.histories import USERS, Act, filter_of, histories
from tests.workers.sync.live import Live
from tests.workers.sync.world import World


async def sync(live: Live, user: str, client: Client, number: int) -> None:
    """The client's next /sync, as its worker answers it."""
    wishes = Wishes(parse_filter(filter_of(number)))
    since = None if client.token is None else parse_sync_token(client.token)
    answer = await live.parts.answering.at_once(Reader(user, "DEVICE"), wishes, since)
    await live.background.drained()
    client.apply(orjson.loads(answer.body))


@settings(max_examples=8)
@given(acts=histories, plan=st.lists(steps(st.sampled_from(USERS)), min_size=3, max_size=12), number=st.integers(0, 1))
def test_in_parts_as_at_once_by_restarted_workers(play: Play, acts: list[Act], plan: list[Step], number: int) -> None:
    async def scenario(w: World) -> None:
        clients = {user: Client() for user in USERS}
        live = await by_plan(w, acts, plan, lambda live, user: sync(live, user, clients[user], number))
        for user, client in clients.items():
            await sync(live, user, client, number)
            whole = Client()
            await sync(live, user, whole, number)
            assert differences(whole, client) == []

    play(scenario)
