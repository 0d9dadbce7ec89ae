"""How a kind of call is decided: what it needs, in whose queue it waits, and what it changes.

Two forms. A *room* call is decided on room heads in memory; many of one queue fit into one batch. A *serial* call reads
what it needs from the database just before it is decided, and is alone: the next of its queue is looked at when it is
committed. `decide` never waits and writes into a Step; it raises MatrixError to refuse. It leaves what was loaded as it
is: where a commit failed, it decides again on the same.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from hs_common.replication.calls import Answer, Call
from hs_common.storage.queries import Queries
from hs_master.rooms.needs import Needs
from hs_master.step import Knowledge, Step

C = TypeVar("C", bound=Call, contravariant=True)


class RoomDecider(Protocol[C]):
    """Decides calls about rooms."""

    def queue(self, call: C) -> str:
        """Calls of one queue are decided in the order in which they came."""

    def rooms(self, call: C) -> list[str]:
        """The rooms whose heads are needed before `needs` can say more."""

    def needs(self, call: C, knowledge: Knowledge) -> list[Needs]:
        """What must be in memory; rooms that do not exist are left out."""

    def decide(self, call: C, step: Step) -> Answer:
        """Write the changes into the step. Raises MatrixError."""


class SerialDecider(Protocol[C]):
    """Decides calls that look into the database first."""

    def queue(self, call: C) -> str:
        """The one thing that no other call may change meanwhile."""

    async def load(self, call: C, db: Queries) -> Any:
        """What `decide` looks at."""

    def decide(self, call: C, step: Step, loaded: Any) -> Answer:
        """Write the changes into the step. Raises MatrixError."""


@runtime_checkable
class LoadsTogether(Protocol):
    """A serial decider that reads for many calls, of as many queues, in one go."""

    async def load_many(self, calls: Sequence[Any], db: Queries) -> list[Any]:
        """What `load` would read for each."""


class Deciders:
    """Which decider takes which call."""

    def __init__(self, room: dict[type[Call], RoomDecider[Any]], serial: dict[type[Call], SerialDecider[Any]]) -> None:
        self.room = room
        self.serial = serial
