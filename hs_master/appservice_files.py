"""Registers the application services of the files that the config lists, when a term of leadership begins.

What the files say goes before what was registered by a command under the same id; a service that came from a file which
is not listed any more is removed.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from twisted.logger import Logger

from hs_common.matrix.appservice import Registration, Tokens, encode_registration
from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import Answer, Call, RemoveAppService, SetAppService
from hs_common.replication.clock import Clock, pause
from hs_common.storage import appservices
from hs_common.storage.appservices import Registered
from hs_common.storage.queries import DatabaseError, Queries
from hs_master.pipeline.intake import Busy
from hs_master.pipeline.pending import NotLeading

FROM_FILE: Final = "file"
RETRY_S: Final = 1.0

Listed = Sequence[tuple[Registration, Tokens]]

_log = Logger()


async def register_listed(
    db: Queries, clock: Clock, submit: Callable[[Call], Awaitable[Answer]], listed: Listed
) -> None:
    """Makes the registrations of files what the files say. Tries until the database answers."""
    while True:
        try:
            for call in differences(listed, await appservices.registered(db)):
                await _submit(submit, call)
            return
        except (DatabaseError, Busy) as error:
            _log.warn("registration files have to wait: {error}", error=error)
        except NotLeading:
            return
        await pause(clock, RETRY_S)


async def _submit(submit: Callable[[Call], Awaitable[Answer]], call: Call) -> None:
    try:
        await submit(call)
    except MatrixError as error:
        _log.error("a registration file is refused: {error}", error=error)


def differences(listed: Listed, rows: Sequence[Registered]) -> list[Call]:
    """What is to be changed, removals first: another service may want the token of one that goes."""
    known = {row.registration.id: row for row in rows}
    names = {registration.id for registration, _ in listed}
    calls: list[Call] = [
        RemoveAppService(service_id=name)
        for name, row in known.items()
        if row.source == FROM_FILE and name not in names
    ]
    for registration, tokens in listed:
        row = known.get(registration.id)
        as_listed = (registration, tokens.as_token_hash, tokens.hs_token, FROM_FILE)
        if row is None or (row.registration, row.as_token_hash, row.hs_token, row.source) != as_listed:
            calls.append(
                SetAppService(
                    registration=encode_registration(registration),
                    as_token_hash=tokens.as_token_hash,
                    hs_token=tokens.hs_token,
                    source=FROM_FILE,
                )
            )
    return calls
