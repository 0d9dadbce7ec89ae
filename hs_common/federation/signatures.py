"""Whether events carry the signatures that they need: keys are asked for once per server, checks run in threads.

Spec: server-server API, #validating-hashes-and-signatures-on-received-events.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from hs_common.federation.interfaces import Run, ServerKeys
from hs_common.matrix.received_pdu import ReceivedPdu
from hs_common.matrix.signing import SignatureError, VerifyKey, signatures_of, verify_bytes

CHUNK: Final = 64
"""Events checked in one go in a thread: some 5 ms, in which other threads may wait for this one's interpreter."""


class _Check(NamedTuple):
    event_id: str
    signed: bytes
    signatures: Mapping[str, object]
    server: str
    keys: Mapping[str, VerifyKey]


class _Wanted(NamedTuple):
    server: str
    key_ids: frozenset[str]


class SignatureChecks:
    """Checks signatures of received events."""

    def __init__(self, keys: ServerKeys, threads: Run) -> None:
        self._keys = keys
        self._threads = threads

    async def failures(self, events: Sequence[ReceivedPdu], *, without: Collection[str] = ()) -> dict[str, str]:
        """Why events are to be dropped, by their ids; those that are not named are signed by all who must.

        `without`: servers whose signature is not looked for, since it is about to be added.
        """
        failures: dict[str, str] = {}
        checks: list[_Check] = []
        wanted = _wanted(events, without)
        found = {one: await self._keys_for(one, event_list) for one, event_list in wanted.items()}
        for one, event_list in wanted.items():
            for event in event_list:
                keys = found[one].get(event.event_id)
                if not keys:
                    failures[event.event_id] = f"no key is known by which {one.server} has signed the event"
                else:
                    checks.append(_Check(event.event_id, event.signed, event.signatures, one.server, keys))
        for start in range(0, len(checks), CHUNK):
            chunk = checks[start : start + CHUNK]
            failures.update(await self._threads.run(lambda chunk=chunk: _verify(chunk)))  # type: ignore[misc]
        return failures

    async def _keys_for(self, wanted: _Wanted, events: Sequence[ReceivedPdu]) -> dict[str, Mapping[str, VerifyKey]]:
        """The keys by event id: those valid when the last of the events was made serve for all, if there are any."""
        bound = [event for event in events if event.event.room_version.enforce_key_validity]
        at_ms = max((event.event.origin_server_ts for event in bound), default=None)
        keys = await self._keys.keys_of(wanted.server, wanted.key_ids, at_ms) if wanted.key_ids else {}
        if keys or len(bound) < 2:
            return {event.event_id: keys for event in events}
        each = {event.event.origin_server_ts for event in bound}
        by_time = {ts: await self._keys.keys_of(wanted.server, wanted.key_ids, ts) for ts in sorted(each)}
        return {event.event_id: by_time.get(event.event.origin_server_ts, {}) for event in events}


def _wanted(events: Iterable[ReceivedPdu], without: Collection[str]) -> dict[_Wanted, list[ReceivedPdu]]:
    wanted: dict[_Wanted, list[ReceivedPdu]] = {}
    for event in events:
        for server in event.signers:
            if server not in without:
                key_ids = frozenset(signatures_of(event.signatures, server))
                wanted.setdefault(_Wanted(server, key_ids), []).append(event)
    return wanted


def _verify(checks: Sequence[_Check]) -> dict[str, str]:
    failures = {}
    for check in checks:
        try:
            verify_bytes(check.signed, check.signatures, check.server, check.keys)
        except SignatureError as error:
            failures[check.event_id] = str(error)
    return failures
