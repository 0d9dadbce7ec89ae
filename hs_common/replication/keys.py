"""The keys that make calls happen once. The first byte tells who may repeat the call, and so how long its answer is
kept. A worker's own calls go under random keys; what a client repeats under its transaction id goes under a hash of all
that makes it the same request. Spec: client-server-api/_index.md#transaction-identifiers.
"""

from hashlib import blake2b
from typing import Final

from hs_common.replication.names import KEY_LENGTH

OF_CALL: Final = 0  # first byte: random, repeated by a worker only
OF_CLIENT: Final = 1  # first byte: a hash, repeated by a client or a server


def call_key(random_bytes: bytes) -> bytes:
    """The key of one call, from at least 15 random bytes."""
    return bytes([OF_CALL]) + random_bytes[: KEY_LENGTH - 1]


def client_key(user_id: str, device_id: str | None, method: str, path: str, txn_id: str) -> bytes:
    """The key of a request that its client may repeat under a transaction id."""
    return _hashed(user_id, device_id or "", method, path, txn_id)


def server_key(origin: str, what: str, message_id: str) -> bytes:
    """The key of what another server may send again."""
    return _hashed("", "", origin, what, message_id)


def is_of_client(key: bytes) -> bool:
    """Whether a client may repeat the call under this key."""
    return key[0] == OF_CLIENT


def _hashed(*parts: str) -> bytes:
    digest = blake2b(digest_size=KEY_LENGTH - 1)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return bytes([OF_CLIENT]) + digest.digest()
