"""An attacker who does not stop: what is in vain is on his account, and beyond it nothing of his is read.

Spec: server-server API, #transactions.
"""

import time
from typing import Any, Final

from hs_common.matrix.server_keys import own_server_keys
from tests.federation.foreign_server import DAY_MS, Answer, Asked
from tests.federation.hostile.stage import HONEST, LIMIT_S, STUBBORN, Stage

Json = dict[str, Any]
_SERVER: Final = "/_matrix/key/v2/server"
_BUNDLE: Final = 50
LONG_BYTES: Final = 1 << 20
"""Of a body that nobody reads any more."""


def insistence(stage: Stage) -> str:
    """29. Refused events and lies without end, long after it was asked to wait; in its own name: no other is hit."""
    room = stage.joined()
    evil, times = stage.evil, 10 * stage.count
    now_ms = time.time_ns() // 1_000_000
    path = _SERVER

    def keys(asked: Asked) -> Answer:
        return 200, own_server_keys(asked.headers["Host"], evil.key, [], now_ms + DAY_MS)

    bad: Json = {**room.compose("m.room.message", {}).pdu, "prev_events": ["$" + "x" * 43] * 21}
    body = {"pdus": [{**bad, "depth": number} for number in range(_BUNDLE)], "edus": []}
    told = [{"user_id": f"@u{number}:{HONEST}", "presence": "online"} for number in range(_BUNDLE)]
    lies = [{"edu_type": "m.presence", "content": {"push": told}}] * 100
    evil.instead[path] = keys
    try:
        allowed, deadline = 0, time.monotonic() + LIMIT_S
        while (answer := _send(stage, {**body, "edus": lies}))[0] == 200:
            allowed += 1
            assert time.monotonic() < deadline, "who sends nothing good is let in for ever"
        padded = {**body, "padding": "x" * LONG_BYTES}
        with stage.attack(times):
            for number in range(times):
                status, said = answer = _send(stage, padded if number % 10 == 0 else body)
                assert status in (429, 200), answer  # time pays off a transaction now and then
                assert status == 200 or said["errcode"] == "M_LIMIT_EXCEEDED", answer
        stage.arrives(room)
        assert stage.honest.call("GET", "/_matrix/federation/v1/query/profile?user_id=@x:a.test")[0] == 404
        while (answer := _send(stage, {"pdus": [], "edus": []}))[0] == 429:
            time.sleep(min(answer[1]["retry_after_ms"], 60_000) / 1000)
    finally:
        del evil.instead[path]
    return f"429 M_LIMIT_EXCEEDED after {allowed} transactions of lies, unread; others are served"


def _send(stage: Stage, body: Json) -> Answer:
    return stage.evil.call("PUT", stage.evil.transaction(), body, origin=STUBBORN, is_patient=False)
