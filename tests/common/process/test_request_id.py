"""The id of a request follows it through awaits, calls and logs, and is no other request's."""

import io
from random import Random
from typing import Any, cast

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger

from hs_common.process.logging import observer
from hs_common.process.request_id import CURRENT_REQUEST_ID
from hs_common.replication import calls
from hs_common.replication.link_local import LocalLink
from hs_common.replication.link_server import CallInfo


def test_a_call_carries_the_request_that_it_serves() -> None:
    seen: dict[str, str] = {}

    async def work(name: str, body: msgspec.Raw, info: CallInfo) -> bytes:
        call = calls.decode_call(name, body)
        assert isinstance(call, calls.DeleteAlias)
        seen[call.alias] = info.request_id
        return calls.encode(calls.Answer(pos=1))

    clock = Clock()
    link = LocalLink(clock, Random(1).randbytes, work)

    async def serve(request_id: str, turn: Deferred[None]) -> None:
        CURRENT_REQUEST_ID.set(request_id)
        await turn
        await link.call(calls.DeleteAlias(alias=request_id))

    turns: list[Deferred[None]] = [Deferred(), Deferred()]
    served = [Deferred.fromCoroutine(serve(name, turn)) for name, turn in zip(("one", "two"), turns, strict=True)]
    for turn in reversed(turns):
        turn.callback(None)
        clock.advance(0)
    assert all(one.called for one in served)
    assert seen == {"one": "one", "two": "two"}
    assert CURRENT_REQUEST_ID.get() == ""


def test_lines_of_a_request_name_it() -> None:
    out = io.StringIO()
    log = Logger("a.place", observer=cast(Any, observer(out, "info", "text")))

    async def serve() -> None:
        CURRENT_REQUEST_ID.set("r1")
        log.info("within")

    Deferred.fromCoroutine(serve())
    log.info("without")
    within, without = out.getvalue().splitlines()
    assert "[a.place r1] within" in within
    assert "[a.place] without" in without
