"""What it costs to find what somebody said: a word, in all rooms of a user.

It asks as Element Web does, each time for a word that was not asked for shortly before.
"""

import itertools
from collections.abc import Awaitable, Callable

from tests.bench.matrix_client import Client
from tests.bench.population import Population
from tests.bench.size import Size
from tests.bench.texts import WORDS
from tests.bench.work import Work, closed_loop

_IN_FLIGHT = 2
_PATH = "/_matrix/client/v3/search"
_words = itertools.cycle(WORDS[::7])


async def search(population: Population, size: Size) -> list[Work]:
    """The newest and the best results for a word of all messages."""
    many = await population.many_rooms()
    await many.speak(await many.rooms(size.initial_rooms), size.messages)
    lanes = [many.owner.another() for _ in range(_IN_FLIGHT)]
    name = f"search in {size.messages} messages"
    return [
        Work(f"{name}, the newest", "answer", closed_loop(_IN_FLIGHT, _asking(lanes, "recent"))),
        Work(f"{name}, the best", "answer", closed_loop(_IN_FLIGHT, _asking(lanes, "rank"))),
    ]


def _asking(lanes: list[Client], order_by: str) -> Callable[[int], Awaitable[object]]:
    async def step(lane: int) -> None:
        wanted = {
            "search_term": next(_words),
            "order_by": order_by,
            "filter": {"limit": 10},
            "event_context": {"before_limit": 1, "after_limit": 1, "include_profile": True},
        }
        answer = await lanes[lane].call("POST", _PATH, {"search_categories": {"room_events": wanted}})
        assert answer["search_categories"]["room_events"]["results"], "every word was said"

    return step
