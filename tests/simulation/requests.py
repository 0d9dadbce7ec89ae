"""What users asked for and were told: the record that the checkers read. No behaviour."""

from dataclasses import dataclass, field

from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import Answer, Call


@dataclass
class Told:
    """An outcome that reached the user: an answer or a final error; `tails`: how many tails were lost before."""

    outcome: Answer | MatrixError
    tails: int


@dataclass
class Asked:
    """One thing that a user wanted, over all repetitions. `mark` stands in everything that it would change."""

    mark: str
    call: Call
    key: bytes | None  # None: the link makes one for each try
    parts: int  # how many events it would make; 0: it makes none
    is_fatal: bool = False  # no master survives deciding it
    told: list[Told] = field(default_factory=list)
    tries: int = 0


@dataclass
class Requests:
    """All of a world."""

    asked: list[Asked] = field(default_factory=list)
    longest_s: float = 0.0  # from a request to its answer
    too_long: list[str] = field(default_factory=list)
