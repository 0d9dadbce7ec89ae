"""The keys of servers, and whether what they signed holds.

Rules: a key comes from memory, then from the database, then from its server, then from notaries; a server is asked
once at a time, however many wait, and not again for a while when it did not have what was wanted. Many signatures are
checked in threads. Our own keys are known without asking.

Spec: server-server API, #retrieving-server-keys, #validating-hashes-and-signatures-on-received-events.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from twisted.internet.defer import Deferred

from hs_common.bounded import Bounded
from hs_common.federation.key_fetching import KeyFetcher
from hs_common.matrix.identifiers import is_key_id
from hs_common.matrix.server_keys import LONGEST_BELIEF_MS, ServerKey
from hs_common.matrix.signing import SignatureError, VerifyKey, signatures_of, verify_bytes
from hs_common.process.worker_threads import Threads
from hs_common.storage import server_keys
from hs_common.storage.queries import Queries
from hs_common.storage.server_keys import KeptKey
from hs_common.under_way import UnderWay

KEPT_SERVERS: Final = 10_000
"""In memory; some KiB each."""
ASK_AGAIN_MS: Final = 60_000
"""A server that did not have a key is asked for it again after this; then after twice as long, and so on."""
LONGEST_ASK_AGAIN_MS: Final = 600_000
"""Not longer: whoever forges a signature with a key that is not there would keep a new one from being found."""
NAMED_LIMIT: Final = 8
"""Signatures of one server on one thing whose keys are looked for."""
WANTED_LIMIT: Final = 64
INLINE_LIMIT: Final = 8
"""Signatures checked at once on the reactor: about half a millisecond."""
THREAD_SLICE: Final = 200
"""Signatures checked by one piece of work of a thread: some 15 ms, mostly without the interpreter's lock."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Bytes that a server must have signed. `valid_at_ms`: when its key must have been valid, None: whenever (events of
    room versions 1 to 4). With `in_use` the key must not be an old one, as for requests."""

    server: str
    data: bytes
    signatures: object
    valid_at_ms: int | None
    in_use: bool = False


class KeyRing:
    """Knows keys. `own` are ours by key id, `now_ms` is the time of day."""

    def __init__(
        self,
        server_name: str,
        own: Mapping[str, ServerKey],
        fetcher: KeyFetcher,
        db: Queries,
        threads: Threads,
        now_ms: Callable[[], int],
    ) -> None:
        self._server_name = server_name
        self._own = dict(own)
        self._fetcher = fetcher
        self._db = db
        self._threads = threads
        self._now_ms = now_ms
        self._known = Bounded[str, dict[str, ServerKey]](KEPT_SERVERS)
        self._asking = UnderWay[str]()
        self._not_again = Bounded[str, tuple[int, int]](KEPT_SERVERS)
        """By server: not to be asked before (ms), after a wait of (ms)."""

    def __len__(self) -> int:
        return len(self._known)

    async def check(self, proofs: Sequence[Proof]) -> list[str | None]:
        """For each proof None if it holds, else why it does not. Raises DatabaseError."""
        wanted: dict[str, list[Proof]] = {}
        for proof in proofs:
            wanted.setdefault(proof.server, []).append(proof)
        await self._load([server for server in wanted if server not in self._known and server != self._server_name])
        finding = {server: Deferred.fromCoroutine(self._find(server, items)) for server, items in wanted.items()}
        found = {server: await one for server, one in finding.items()}
        jobs = [(proof, _usable(found[proof.server], proof)) for proof in proofs]
        if len(jobs) <= INLINE_LIMIT:
            return _checked(jobs)
        reasons: list[str | None] = []
        for at in range(0, len(jobs), THREAD_SLICE):
            reasons += await self._threads.run(partial(_checked, jobs[at : at + THREAD_SLICE]))
        return reasons

    async def verify(self, proof: Proof) -> None:
        """Raises SignatureError unless the proof holds."""
        (reason,) = await self.check([proof])
        if reason is not None:
            raise SignatureError(reason)

    async def keys_of(self, server: str) -> Mapping[str, ServerKey]:
        """The keys of a server, asked for if none of them is known to be in use."""
        if server != self._server_name:
            await self.refresh(server, (), self._now_ms())
        return self._keys(server)

    async def refresh(self, server: str, key_ids: Sequence[str], valid_at_ms: int) -> None:
        """Asks for keys unless those wanted are known to be valid at that time, or old ones. No ids: any key in use."""
        await self._load([server])
        valid_at_ms = min(valid_at_ms, self._now_ms() + LONGEST_BELIEF_MS)
        if not _has(self._keys(server), key_ids, valid_at_ms):
            await self._fetch(server, key_ids, valid_at_ms)

    # Finding keys

    def _keys(self, server: str) -> Mapping[str, ServerKey]:
        return self._own if server == self._server_name else self._known.get(server, {})

    async def _find(self, server: str, proofs: Sequence[Proof]) -> Mapping[str, ServerKey]:
        # Later than now no server says that its keys are valid for long, so nothing would be found by asking.
        at = min(max((proof.valid_at_ms or 0 for proof in proofs), default=0), self._now_ms())
        while missing := _missing(self._keys(server), server, proofs):
            if server == self._server_name or await self._fetch(server, missing, at):
                break
        return self._keys(server)

    async def _fetch(self, server: str, key_ids: Sequence[str], valid_at_ms: int) -> bool:
        """Asks for keys; False if it waited for somebody who was asking, for other keys perhaps."""
        if server in self._asking:
            await self._asking.end_of(server)
            return False
        with self._asking.begun(server):
            await self._ask(server, key_ids, valid_at_ms)
        return True

    async def _ask(self, server: str, key_ids: Sequence[str], valid_at_ms: int) -> None:
        await self._load([server])  # another worker may have asked meanwhile
        not_before, waited = self._not_again.get(server, (0, 0))
        if _has(self._keys(server), key_ids, valid_at_ms) or self._now_ms() < not_before:
            return
        found = await self._fetcher.from_server(server)
        self._learn(server, found)
        if not _has(found, key_ids, valid_at_ms):
            self._learn(server, await self._from_notaries(server, key_ids, valid_at_ms))
        if _has(self._keys(server), key_ids, valid_at_ms):
            self._not_again.pop(server, None)
        else:
            wait = min(max(ASK_AGAIN_MS, waited * 2), LONGEST_ASK_AGAIN_MS)
            self._not_again[server] = (self._now_ms() + wait, wait)

    async def _from_notaries(self, server: str, key_ids: Sequence[str], valid_at_ms: int) -> dict[str, ServerKey]:
        notaries = [notary for notary in self._fetcher.notaries if notary != server and notary not in self._asking]
        if not notaries:
            return {}
        keys = {notary: await self._notary_keys(notary) for notary in notaries}
        return await self._fetcher.from_notaries(server, key_ids, valid_at_ms, keys)

    async def _notary_keys(self, notary: str) -> Mapping[str, ServerKey]:
        """From the notary itself: notaries do not vouch for each other."""
        await self._load([notary])
        if not _has(self._keys(notary), (), self._now_ms()):
            self._learn(notary, await self._fetcher.from_server(notary))
        return self._keys(notary)

    async def _load(self, servers: Sequence[str]) -> None:
        for row in await server_keys.of_servers(self._db, servers) if servers else ():
            self._learn(row.server, {row.key_id: _from_row(row)})

    def _learn(self, server: str, keys: Mapping[str, ServerKey]) -> None:
        if keys:
            self._known[server] = {**self._known.get(server, {}), **keys}


def _from_row(row: KeptKey) -> ServerKey:
    return ServerKey(VerifyKey.from_base64(row.key_id, row.public_key), row.valid_until_ms, row.is_old)


def _usable(keys: Mapping[str, ServerKey], proof: Proof) -> dict[str, VerifyKey]:
    """The keys that may have made a signature of that time."""
    return {
        key_id: key.key
        for key_id, key in keys.items()
        if (proof.valid_at_ms is None or key.is_valid_at(proof.valid_at_ms)) and not (proof.in_use and key.is_old)
    }


def _missing(keys: Mapping[str, ServerKey], server: str, proofs: Sequence[Proof]) -> list[str]:
    """The ids of keys that signatures name, of those proofs for which no usable key is known."""
    missing: dict[str, None] = {}
    for proof in proofs:
        named = list(signatures_of(proof.signatures, server))[:NAMED_LIMIT]
        usable = _usable(keys, proof)
        if not any(key_id in usable for key_id in named):
            missing.update(dict.fromkeys(key_id for key_id in named if is_key_id(key_id)))
    return list(missing)[:WANTED_LIMIT]


def _has(keys: Mapping[str, ServerKey], key_ids: Sequence[str], valid_at_ms: int) -> bool:
    """Whether all the keys are there and valid at that time; without ids, whether any in use is."""
    if not key_ids:
        return any(not key.is_old and key.is_valid_at(valid_at_ms) for key in keys.values())
    return all(key_id in keys and (keys[key_id].is_old or keys[key_id].is_valid_at(valid_at_ms)) for key_id in key_ids)


def _checked(jobs: Sequence[tuple[Proof, Mapping[str, VerifyKey]]]) -> list[str | None]:
    reasons: list[str | None] = []
    for proof, keys in jobs:
        try:
            verify_bytes(proof.data, proof.signatures, proof.server, keys)
        except SignatureError as error:
            reasons.append(str(error))
        else:
            reasons.append(None)
    return reasons
