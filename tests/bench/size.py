"""How big a run is. Figures of runs of different sizes are not compared."""

from dataclasses import dataclass, fields
from typing import Final


@dataclass(frozen=True, slots=True)
class Size:
    """Counts, and seconds of a slice."""

    name: str
    slices: int
    seconds: float
    rooms: int  # of two members, for sends
    big_room: int  # members
    waiting: int  # clients that long-poll one room
    sync_rooms: int  # of an incremental sync
    initial_rooms: int  # of an initial sync
    sliding_rooms: int  # of a sliding sync
    messages: int  # in all rooms of the initial sync; what is searched
    history: int  # messages in the room that is paged through
    joins: int
    ghost_joins: int
    ghost_join_parts: int
    devices: int  # whose keys are asked for, and that messages are sent to
    files: int  # uploaded in one slice
    ghost_room: int  # members
    backlog: int  # events that a service has missed
    starts: int
    idle_seconds: float
    rates_per_s: tuple[int, ...] = (40, 500)  # of events that workers only follow


SIZES: Final = tuple(field.name for field in fields(Size) if field.type is int)
"""The counts among them, by name."""

QUICK: Final = Size(
    name="quick",
    slices=2,
    seconds=1.0,
    rooms=64,
    big_room=500,
    waiting=100,
    sync_rooms=100,
    initial_rooms=100,
    sliding_rooms=200,
    messages=1_000,
    history=400,
    joins=400,
    ghost_joins=400,
    ghost_join_parts=4,
    devices=100,
    files=40,
    ghost_room=200,
    backlog=2_000,
    starts=1,
    idle_seconds=3.0,
)

FULL: Final = Size(
    name="full",
    slices=7,
    seconds=4.0,
    rooms=256,
    big_room=500,
    waiting=100,
    sync_rooms=100,
    initial_rooms=500,
    sliding_rooms=2_000,
    messages=10_000,
    history=2000,
    joins=4000,
    ghost_joins=10_000,
    ghost_join_parts=10,
    devices=500,
    files=200,
    ghost_room=2_000,
    backlog=50_000,
    starts=5,
    idle_seconds=30.0,
)
