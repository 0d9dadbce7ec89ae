"""Attacks by what is missing: events whose past has no end, in depth, in breadth, or in rights.

Whatever is told is bounded in events, rounds and time; the room goes on, and so do others.

Spec: server-server API, #backfilling-and-retrieving-missing-events.
"""

from collections.abc import Callable
from typing import Any, Final

from hs_common.matrix.event import Event
from tests.common.federation.far_server import FarRoom
from tests.federation.foreign_server import Answer, Asked
from tests.federation.hostile.evil import V1, json_of
from tests.federation.hostile.stage import Stage

Json = dict[str, Any]
Tell = Callable[[Asked], Answer]
DEPTH: Final = 1_000
"""Events of a past that has no beginning; what it is made of, the attacker makes once."""
BREADTH: Final = 20
"""Events that one may cite."""
CHAIN: Final = 3_000


def _unknown(number: int, kind: str = "u") -> str:
    return "$" + f"{kind}{number:042}"


def _send_each(stage: Stage, events: list[Event]) -> None:
    for event in events:
        assert stage.evil.results(event) == {event.event_id: {}}


def _still_works(stage: Stage, room: FarRoom, other: FarRoom) -> None:
    stage.arrives(other, "in another room")
    stage.arrives(room)


def _asked(stage: Stage, before: int) -> str:
    paths = [asked.path.removeprefix(f"{V1}/").partition("/")[0] for asked in stage.evil.asked[before:]]
    return ", ".join(f"{paths.count(kind)} {kind}" for kind in sorted(set(paths)) if kind != "send")


def _searched(
    stage: Stage, room: FarRoom, other: FarRoom, instead: dict[str, Tell], tip: Callable[[int], Event]
) -> str:
    """Sends events while it answers so, sees that rooms go on and that nobody is shown them; what was asked of it."""
    before = len(stage.evil.asked)
    stage.evil.instead |= instead
    try:
        with stage.attack():
            tips = [tip(number) for number in range(stage.count)]
            _send_each(stage, tips)
            _still_works(stage, room, other)
    finally:
        for path in instead:
            del stage.evil.instead[path]
    stage.unseen(room, *(one.event_id for one in tips[:20]))
    return _asked(stage, before)


def endless_depth(stage: Stage) -> str:
    """12. Events whose ancestors go back for ever; each answer tells of some more."""
    room, other = stage.joined(), stage.joined()
    depth = room.events[room.heads[0]].depth + 10
    past: list[Event] = []
    for number in range(DEPTH):
        prev = [past[-1].event_id] if past else [_unknown(0)]
        past.append(room.compose("m.room.message", {"body": str(number)}, prev=prev, depth=depth + number))
    places = {event.event_id: place for place, event in enumerate(past)}
    pdus = [json_of(dict(event.pdu)) for event in past]

    def tell(asked: Asked) -> Answer:
        latest = asked.body["latest_events"][0]
        place = places.get(latest, DEPTH)
        return 200, {"events": pdus[max(0, place - asked.body["limit"]) : place]}

    def tip(number: int) -> Event:
        return room.compose("m.room.message", {"tip": number}, prev=[past[-1].event_id], depth=depth + DEPTH)

    return f"200; kept, not shown; we asked: {_searched(stage, room, other, {f'{V1}/get_missing_events': tell}, tip)}"


def endless_breadth(stage: Stage) -> str:
    """13. Each event cites twenty unknown ones, and so does each that is told of."""
    room, other = stage.joined(), stage.joined()
    depth = room.events[room.heads[0]].depth + 10
    numbers = iter(range(1 << 30))

    def wide(at: int) -> Event:
        prev = [_unknown(next(numbers), "w") for _ in range(BREADTH)]
        return room.compose("m.room.message", {"body": "wide"}, prev=prev, depth=at)

    told = [json_of(dict(wide(depth).pdu)) for _ in range(50)]
    instead = {f"{V1}/get_missing_events": lambda asked: (200, {"events": told})}
    return f"200; kept, not shown; we asked: {_searched(stage, room, other, instead, lambda _: wide(depth + 1))}"


def endless_rights(stage: Stage) -> str:
    """14. Events whose right comes from one that is not there; the answer is a flood of others."""
    room, other = stage.joined(), stage.joined()
    chain = [
        json_of(dict(room.compose("m.room.topic", {"topic": str(number)}, state_key="", depth=5).pdu))
        for number in range(CHAIN)
    ]
    rights = [event.event_id for event in room.state.values()][:3]

    def tip(number: int) -> Event:
        return room.compose("m.room.message", {"body": str(number)}, auth=[*rights, _unknown(number, "a")])

    asked = _searched(stage, room, other, {f"{V1}/event_auth": lambda asked: (200, {"auth_chain": chain})}, tip)
    kept = stage.server.query(f"SELECT count(*) FROM events WHERE room_id = '{room.room_id}'")[0][0]
    return f"200; not shown; we asked: {asked}; {kept} of what was told is kept"


def endless_states(stage: Stage) -> str:
    """15. Events after unknown ones; the state told there is a flood of events, another each time."""
    room, other = stage.joined(), stage.joined()
    floods = iter(range(1 << 30))
    state = [event.event_id for event in room.state.values()]

    def ids(asked: Asked) -> Answer:
        start = next(floods) * CHAIN
        return 200, {"pdu_ids": [*state, *(_unknown(start + n, "s") for n in range(CHAIN))], "auth_chain_ids": state}

    told = [
        json_of(dict(room.compose("m.flood", {"n": number}, state_key=str(number), depth=5).pdu))
        for number in range(CHAIN)
    ]
    before = len(stage.evil.asked)
    stage.evil.instead |= {
        f"{V1}/get_missing_events": lambda asked: (200, {"events": []}),
        f"{V1}/state_ids": ids,
        f"{V1}/state/": lambda asked: (200, {"pdus": told, "auth_chain": []}),
    }
    try:
        with stage.attack():
            tips = [
                room.compose("m.room.message", {"body": str(n)}, prev=[_unknown(n, "p")]) for n in range(stage.count)
            ]
            _send_each(stage, tips)
            _still_works(stage, room, other)
    finally:
        stage.evil.instead.clear()
    return f"200; we asked: {_asked(stage, before)}"
