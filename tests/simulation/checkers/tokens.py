"""Invariant 7: whatever pieces a user synced in, over whatever workers: together they are the whole, in order, once.

That a token never goes back but across a lost history is looked at with each answer (`users.py`).
"""

from collections.abc import Iterator

from tests.simulation.mirror import fresh
from tests.simulation.world import World


def check(world: World) -> Iterator[str]:
    whole = fresh(world.database, world.database.head).news
    for user in world.users:
        if user.token != world.database.head:
            yield f"the token of {user.user_id} is {user.token} at the end, the head is at {world.database.head}"
        elif user.seen != whole:
            missing = [one for one in whole if one not in user.seen]
            wrong = [one for one in user.seen if one not in whole]
            yield f"{user.user_id} has missed {missing[:3]} and was told {wrong[:3]} wrongly, twice or in another order"
