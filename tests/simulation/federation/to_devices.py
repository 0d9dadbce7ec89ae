"""Messages to devices: each once, in the order of the server that tells them."""

from collections import Counter
from collections.abc import Iterator

import orjson

from tests.simulation.federation.world import World


def failures(world: World) -> Iterator[str]:
    """What came twice, or out of order, or not at all though a server answered that it will."""
    came = {home.name: list(_marks(home.tables.inboxes)) for home in world.homes}
    here = Counter(mark for marks in came.values() for mark in marks)
    yield from (f"the message {mark} came to its device {count} times" for mark, count in here.items() if count > 1)
    told = {mark: user_id for user_id, mark in world.actions.told_devices}
    yield from (f"the message {mark} never came to {user_id}" for mark, user_id in told.items() if mark not in here)
    for origin in world.homes:
        for destination in world.homes:
            edus = [edu for name, edu in origin.tables.edus_ever if name == destination.name]
            sent = [mark for edu in edus for mark in _marks_of(orjson.loads(edu)["content"]["messages"])]
            if [mark for mark in came[destination.name] if mark in set(sent)] != [one for one in sent if one in here]:
                yield f"{destination.name} got messages of {origin.name} to devices out of order"


def _marks(inboxes: list[tuple[str, str]]) -> Iterator[int]:
    return (orjson.loads(message)["content"]["mark"] for _, message in inboxes)


def _marks_of(messages: dict[str, dict[str, dict[str, int]]]) -> Iterator[int]:
    return (content["mark"] for devices in messages.values() for content in devices.values())
