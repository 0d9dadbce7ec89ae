"""A history that is played while clients ask, between its acts, a worker that may be restarted or behind."""

from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import strategies as st

from tests.workers.sync.histories import Act, History
from tests.workers.sync.live import Live
from tests.workers.sync.world import World

Step = tuple[int, bool, bool, Any]
"""After which act; whether the worker is restarted before; whether it has followed the log; what is asked."""


def steps(asked: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    """Steps that ask for one of these."""
    return st.tuples(st.integers(0, 24), st.booleans(), st.booleans(), asked)


async def by_plan(w: World, acts: list[Act], plan: list[Step], ask: Callable[[Live, Any], Awaitable[None]]) -> Live:
    """The worker of the end, which has followed all of the log."""
    history = History(w)
    await history.begin()
    live = Live(w)
    live.start()
    for place, act in enumerate(acts):
        await history.play(act)
        for after, restarted, followed, asked in plan:
            if after % len(acts) != place:
                continue
            if restarted:
                live = Live(w)
                live.start()
            if followed:
                live.follow()
            await ask(live, asked)
    live.follow()
    return live
