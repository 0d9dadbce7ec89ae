"""Attacks by keys: lies about them, and questions for those of others.

Spec: server-server API, #retrieving-server-keys.
"""

import time
from typing import Any, Final

from hs_common.matrix.server_keys import own_server_keys
from hs_common.matrix.signing import SigningKey, sign
from tests.federation.foreign_server import DAY_MS, Answer, Asked
from tests.federation.hostile.evil import V1
from tests.federation.hostile.stage import HONEST, LIARS, Stage

Json = dict[str, Any]
_SERVER: Final = "/_matrix/key/v2/server"
_VALID_MS: Final = 2**53 - 1


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _key(number: int) -> SigningKey:
    return SigningKey(f"lie{number}", number.to_bytes(32))


def _lies(name: str, key: SigningKey) -> list[Json | bytes]:
    """What a key server may say to make believe in this key, and why nobody must."""
    honest = own_server_keys(name, key, [], _now_ms() + DAY_MS)
    named = {**honest, "verify_keys": {f"ed25519:{n}": {"key": "A" * 43} for n in range(20_000)}}
    unsigned = {field: value for field, value in honest.items() if field != "signatures"}
    return [
        own_server_keys(HONEST, key, [], _now_ms() + DAY_MS),  # of another server
        {**honest, "valid_until_ts": _VALID_MS},  # changed since it was signed
        sign(unsigned, name, SigningKey("other", b"o" * 32)),  # signed by a key that is not in it
        own_server_keys(name, key, [], 1),  # over long ago
        unsigned,
        {**honest, "verify_keys": [key.key_id]},
        sign({field: value for field, value in named.items() if field != "signatures"}, name, key),
        b"[" * 50_000,
        b" " * (2 << 20),
    ]


def lying_keys(stage: Stage) -> str:
    """24. Keys of other servers, of no server, not signed, over long ago, thousands at once."""
    lies = dict(zip(LIARS, range(len(LIARS)), strict=True))
    asked_before = len(stage.evil.asked_for(_SERVER))

    def lie(asked: Asked) -> Answer:
        name = asked.headers["Host"]
        return 200, _lies(name, _key(lies[name]))[lies[name]]

    stage.evil.instead[_SERVER] = lie
    uri = f"{V1}/query/profile?user_id=@x:a.test"
    try:
        with stage.attack():
            for number in range(stage.count):
                name = LIARS[number % len(LIARS)]
                for origin in (name, HONEST):
                    status, answer = stage.evil.call("GET", uri, key=_key(lies[name]), origin=origin)
                    assert (status, answer["errcode"]) == (401, "M_UNAUTHORIZED"), (name, origin, answer)
    finally:
        del stage.evil.instead[_SERVER]
    asked = len(stage.evil.asked_for(_SERVER)) - asked_before
    assert asked <= len(LIARS) + 1, "a server that lies is asked again no sooner than after a minute"
    return f"401 M_UNAUTHORIZED; asked for keys {asked} times"


def notary_floods(stage: Stage) -> str:
    """25. We are asked, by anybody, for the keys of many servers that are not there."""
    count = max(1, stage.count // 10)
    with stage.attack(count):
        many: Json = {"server_keys": {f"127.0.0.1:{n}": {} for n in range(1, 2_000)}}
        assert stage.evil.call("POST", "/_matrix/key/v2/query", many)[0] == 400
        for number in range(count):
            servers: Json = {f"127.0.0.1:{number % 50 * 100 + n}": {} for n in range(1, 101)}
            status, answer = stage.evil.call("POST", "/_matrix/key/v2/query", {"server_keys": servers})
            assert (status, answer) == (200, {"server_keys": []})
    return "400 M_INVALID_PARAM for more than 100; 200 with nothing"
