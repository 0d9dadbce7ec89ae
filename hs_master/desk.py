"""Where workers' calls arrive: read by name, given to who decides, answered in bytes.

A process that does not lead answers nothing but that. Ephemeral calls change values in memory and are told at once;
everything else goes through the writer.
"""

from collections.abc import Awaitable, Callable

import msgspec

from hs_common.matrix.errors import MatrixError
from hs_common.replication import calls
from hs_common.replication.calls import Answer, Call
from hs_common.replication.federation_calls import FEDERATION_CALLS
from hs_common.replication.import_calls import IMPORT_CALLS
from hs_common.replication.keys import is_of_client
from hs_common.replication.link_server import CallInfo, LeaderElsewhere, TooBusy
from hs_common.storage.queries import DatabaseError
from hs_master.log_store.types import AnswerKind
from hs_master.pipeline.intake import Busy, Intake
from hs_master.pipeline.pending import DEFAULT_TERMS, NotLeading, Terms
from hs_master.standing import Standing

# Takes the ephemeral calls, of which some wait for the database: returns None for all others.
Ephemeral = Callable[[Call], Answer | Awaitable[Answer] | None]


def lane_of(call: Call, asked: str) -> str:
    """What bridges do by the thousand and nobody waits for takes what others leave; servers have a lane too."""
    if isinstance(call, IMPORT_CALLS) or (isinstance(call, calls.RegisterUser) and call.appservice_id is not None):
        return "bulk"
    return "federation" if isinstance(call, FEDERATION_CALLS) else asked


class Desk:
    """Takes calls while this process leads. `open` at the take-over, `close` when leadership ends."""

    def __init__(self, is_leader: Callable[[], bool], check: Callable[[], Awaitable[bool]]) -> None:
        """`check` finds out, with the database, whether a doubtful leadership still holds."""
        self._is_leader = is_leader
        self._check = check
        self._intake: Intake | None = None
        self._ephemeral: Ephemeral | None = None
        self._standing: Standing | None = None
        self._on_answer: Callable[[Call], None] = lambda call: None

    def open(self, intake: Intake, ephemeral: Ephemeral, standing: Standing, on_answer: Callable[[Call], None]) -> None:
        """`on_answer` is told of each call that the writer has done."""
        self._intake, self._ephemeral, self._standing, self._on_answer = intake, ephemeral, standing, on_answer

    def close(self) -> None:
        self._intake = self._ephemeral = self._standing = None

    async def work(self, name: str, body: msgspec.Raw, info: CallInfo) -> bytes:
        """Do a call. Raises MatrixError, LeaderElsewhere, TooBusy (see `link_server.CallWork`)."""
        try:
            call = calls.decode_call(name, body)
        except KeyError:
            raise MatrixError(501, "M_UNRECOGNIZED", f"This master does not know the call {name}; upgrade it") from None
        except msgspec.ValidationError as error:
            raise MatrixError(400, "M_BAD_JSON", f"The call {name} does not fit: {error}") from error
        await self._check_standing(call, info.origin)
        terms = Terms(
            lane=lane_of(call, info.lane),
            origin=info.origin,
            size_bytes=memoryview(body).nbytes,
            time_left_s=info.time_left_ms / 1000,
            losses=info.losses,
        )
        return calls.encode(await self.call(call, info.key, repeated=info.tries > 1, terms=terms))

    async def _check_standing(self, call: Call, origin: str) -> None:
        """Whether the user whose request the call is of may still make it."""
        if self._standing is None or not origin.startswith("@"):
            return
        try:
            await self._standing.check(call, origin)
        except DatabaseError:
            raise LeaderElsewhere from None  # asked again, of whoever leads by then

    async def call(
        self, call: Call, key: bytes | None, *, repeated: bool = False, terms: Terms = DEFAULT_TERMS
    ) -> Answer:
        """Do a call of this process or of a worker. Raises as `work`."""
        if self._intake is None or self._ephemeral is None or not (self._is_leader() or await self._check()):
            raise LeaderElsewhere
        told = self._ephemeral(call)
        if isinstance(told, Answer):
            return told
        if told is not None:
            return await self._when_known(told)
        kind = AnswerKind.CLIENT if key is not None and is_of_client(key) else AnswerKind.CALL
        try:
            answer = await self._intake.submit(call, key, kind, repeated, terms)
        except Busy as error:
            raise TooBusy(error.retry_after_ms) from None
        except NotLeading:
            raise LeaderElsewhere from None
        self._on_answer(call)
        return answer

    async def _when_known(self, telling: Awaitable[Answer]) -> Answer:
        try:
            return await telling
        except DatabaseError:
            raise LeaderElsewhere from None  # asked again, of whoever leads by then
