"""Keys of users of other servers: their servers are asked, all at once, and what they say is checked.

Rules: a server that does not answer is among the failures and holds nobody up for long. What a server says about other
users than its own, or about devices under other names, is left out. Nothing is kept here.

Spec: client-server-api/#post_matrixclientv3keysquery, #post_matrixclientv3keysclaim; server-server API,
#end-to-end-encryption.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred

from hs_common.federation.client import FederationClient
from hs_common.federation.failures import FederationError
from hs_common.http.egress.connection import Limits
from hs_common.matrix.canonical_json import check
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.public_keys import MASTER, SELF_SIGNING

SERVERS_LIMIT: Final = 500
"""Servers asked for one request: more than the largest encrypted rooms have."""
LIMITS: Final = Limits(total_s=9.0, idle_s=9.0, body_bytes=16 << 20)
"""Below the ten seconds in which a request ends; a device's keys are some 2 KiB, and a bridge has thousands."""

Json = dict[str, Any]
Failures = dict[str, Json]
Found = dict[str, Json]
"""By kind and user."""
KINDS: Final = ("device_keys", f"{MASTER}_keys", f"{SELF_SIGNING}_keys")


class RemoteKeys:
    """Asks. None: there is no way to other servers."""

    def __init__(self, federation: FederationClient | None) -> None:
        self._federation = federation

    async def query(
        self, wanted: Mapping[str, Mapping[str, Sequence[str]]], limits: Limits = LIMITS
    ) -> tuple[Found, Failures]:
        """Of the device ids by user and server: keys by kind and user, and the servers that failed."""
        path = "/_matrix/federation/v1/user/keys/query"
        answers, failures = await self._ask(path, "device_keys", wanted, limits)
        found: Found = {kind: {} for kind in KINDS}
        for server, answer in answers.items():
            for user_id in wanted[server]:
                for kind in KINDS:
                    told = _of_user(answer, kind, user_id)
                    if kind == "device_keys" and told is not None:
                        found[kind][user_id] = _devices(told, user_id, wanted[server][user_id])
                    elif told is not None and told.get("user_id") == user_id:
                        found[kind][user_id] = told
        return found, failures

    async def claim(self, wanted: Mapping[str, Json], timeout_ms: int | None = None) -> tuple[Json, Failures]:
        """Of the algorithms by device, user and server: keys by user and device, and the servers that failed, or did
        not answer within the time."""
        path = "/_matrix/federation/v1/user/keys/claim"
        answers, failures = await self._ask(path, "one_time_keys", wanted, limits_of(timeout_ms))
        found: Json = {}
        for server, answer in answers.items():
            for user_id, devices in wanted[server].items():
                told = _of_user(answer, "one_time_keys", user_id) or {}
                given = {device_id: told[device_id] for device_id in devices if isinstance(told.get(device_id), dict)}
                if given:
                    found[user_id] = given
        return found, failures

    async def _ask(
        self, path: str, key: str, wanted: Mapping[str, Mapping[str, Any]], limits: Limits
    ) -> tuple[dict[str, Json], Failures]:
        servers = list(wanted)[:SERVERS_LIMIT]
        failures = {server: failure("Too many servers at once") for server in wanted if server not in servers}
        asking = {
            server: Deferred.fromCoroutine(self._ask_one(server, path, {key: wanted[server]}, limits))
            for server in servers
        }
        answers = {}
        for server, one in asking.items():
            answer = await one
            if isinstance(answer, str):
                failures[server] = failure(answer)
            else:
                answers[server] = answer
        return answers, failures

    async def _ask_one(self, server: str, path: str, body: Json, limits: Limits) -> Json | str:
        """The answer, or why there is none."""
        if self._federation is None:
            return "This server does not talk with others"
        try:
            answer = await self._federation.post(server, path, body, limits)
            check(answer, refuse_nul=True)
        except FederationError as error:
            return error.for_client().error
        except (MatrixError, TypeError):
            return "The server gave a bad answer"
        return answer if isinstance(answer, dict) else "The server gave a bad answer"


def limits_of(timeout_ms: int | None) -> Limits:
    """What the client is ready to wait, but never more than there is."""
    if timeout_ms is None or timeout_ms >= LIMITS.total_s * 1000:
        return LIMITS
    seconds = max(timeout_ms, 1) / 1000
    return Limits(total_s=seconds, idle_s=seconds, body_bytes=LIMITS.body_bytes, hurried=True)


def failure(reason: str) -> Json:
    """Why a server is among the failures."""
    return {"errcode": "M_UNKNOWN", "error": reason}


def _of_user(answer: Json, kind: str, user_id: str) -> Json | None:
    users = answer.get(kind)
    told = users.get(user_id) if isinstance(users, dict) else None
    return told if isinstance(told, dict) else None


def _devices(told: Json, user_id: str, wanted: Sequence[str]) -> Json:
    """The devices that say that they are what they are told as."""
    return {
        device_id: keys
        for device_id, keys in told.items()
        if isinstance(keys, dict)
        and keys.get("user_id") == user_id
        and keys.get("device_id") == device_id
        and (not wanted or device_id in wanted)
    }
