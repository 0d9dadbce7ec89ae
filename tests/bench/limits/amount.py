"""How far a run goes, and how long it may take."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Amount:
    """The first step's size, what each next step multiplies it by, and the time for all of it."""

    name: str
    ghosts: int
    rooms: int
    in_flight: int
    most_in_flight: int
    growing_s: float  # no step begins that would probably end later
    sending_s: float  # of a step
    beyond_in_flight: int
    beyond_s: float  # longer than a call to the master may wait, so that refusals are seen
    users: int  # who then send together, each for himself
    factor: int = 2
    in_flight_factor: int = 4


QUICK: Final = Amount(
    name="quick",
    ghosts=100,
    rooms=16,
    in_flight=8,
    most_in_flight=512,
    growing_s=15.0,
    sending_s=2.0,
    beyond_in_flight=6_000,
    beyond_s=10.0,
    users=32,
)

FULL: Final = Amount(
    name="full",
    ghosts=250,
    rooms=32,
    in_flight=8,
    most_in_flight=2_048,
    growing_s=100.0,
    sending_s=5.0,
    beyond_in_flight=8_000,
    beyond_s=15.0,
    users=64,
)
