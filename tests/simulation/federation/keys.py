"""Signatures that are digests: anybody could make one, but none fits other bytes or another server."""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256

from hs_common.federation.key_ring import Proof

KEY_ID = "ed25519:digest"


class DigestKey:
    """As a `SigningKey`."""

    key_id = KEY_ID
    version = "digest"

    def __init__(self, server_name: str) -> None:
        self._server_name = server_name

    def sign_bytes(self, data: bytes) -> str:
        return _digest(self._server_name, data)


class DigestRing:
    """As a `KeyRing`."""

    async def check(self, proofs: Sequence[Proof]) -> list[str | None]:
        return [None if _holds(proof) else f"{proof.server} has not signed it" for proof in proofs]


def _holds(proof: Proof) -> bool:
    signatures = proof.signatures.get(proof.server) if isinstance(proof.signatures, dict) else None
    return isinstance(signatures, dict) and signatures.get(KEY_ID) == _digest(proof.server, proof.data)


def _digest(server_name: str, data: bytes) -> str:
    return b64encode(sha256(server_name.encode() + b"\0" + data).digest()).decode().rstrip("=")
