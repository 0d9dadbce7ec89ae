"""Signatures: ed25519 over canonical JSON, of any JSON object and of events.

Keys stay what they are on the wire: an id "ed25519:<version>" and 32 bytes. The `*_bytes` functions take what is
already encoded. Which key of which server is valid when, and where keys come from, is decided elsewhere.

Spec: appendices, #signing-json and #checking-for-a-signature; server-server API, #signing-events.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from hs_common.matrix import base64, canonical_json, hashes
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.room_versions import RoomVersion

ALGORITHM = "ed25519"
_SEED_BYTES = 32
_PUBLIC_KEY_BYTES = 32
_SIGNATURE_BYTES = 64
_UNSIGNED_KEYS = frozenset({"signatures", "unsigned"})
# Spec: server-server API, #publishing-keys: the version of a server's key.
_KEY_VERSION = re.compile(r"[a-zA-Z0-9_]+")


class SignatureError(Exception):
    """A signature is missing, made with an unknown key, or wrong; the text says which."""


class VerifyKey:
    """The public half of a key."""

    __slots__ = ("key_id", "public_bytes")

    def __init__(self, key_id: str, public_bytes: bytes) -> None:
        """`key_id` with its algorithm, such as "ed25519:auto". Raises ValueError for another algorithm or length."""
        if not key_id.startswith(ALGORITHM + ":"):
            raise ValueError(f"key {key_id!r} is not an {ALGORITHM} key")
        if len(public_bytes) != _PUBLIC_KEY_BYTES:
            raise ValueError(f"an {ALGORITHM} key has {_PUBLIC_KEY_BYTES} bytes")
        self.key_id = key_id
        self.public_bytes = public_bytes

    @classmethod
    def from_base64(cls, key_id: str, public_key: str) -> "VerifyKey":
        """The key as servers and devices publish it. Raises ValueError."""
        return cls(key_id, base64.decode(public_key))

    def to_base64(self) -> str:
        """The key as it is published."""
        return base64.encode(self.public_bytes)

    def verify_bytes(self, data: bytes, signature: str) -> bool:
        """Whether `signature` (base64) is this key's signature of `data`."""
        try:
            raw = base64.decode(signature)
        except ValueError:
            return False
        # The check by itself would take a longer signature for a shorter one followed by data.
        if len(raw) != _SIGNATURE_BYTES:
            return False
        try:
            crypto_sign_open(raw + data, self.public_bytes)
        except BadSignatureError:
            return False
        return True


class SigningKey:
    """The private half of a key. Its text form is that of Matrix key files: `ed25519 <version> <base64 seed>`."""

    __slots__ = ("_secret", "_seed", "key_id", "verify_key", "version")

    def __init__(self, version: str, seed: bytes) -> None:
        """Raises ValueError for a version that is not of `[a-zA-Z0-9_]`, or a seed that has not 32 bytes."""
        if not _KEY_VERSION.fullmatch(version):
            raise ValueError("the version of a signing key consists of the characters a-z, A-Z, 0-9 and _")
        if len(seed) != _SEED_BYTES:
            raise ValueError(f"the seed of a signing key has {_SEED_BYTES} bytes")
        public, self._secret = crypto_sign_seed_keypair(seed)
        self._seed = seed
        self.version = version
        self.key_id = f"{ALGORITHM}:{version}"
        self.verify_key = VerifyKey(self.key_id, public)

    @classmethod
    def generate(cls, version: str, random_bytes: Callable[[int], bytes]) -> "SigningKey":
        """A new key of a source of randomness, such as `os.urandom`."""
        return cls(version, random_bytes(_SEED_BYTES))

    @classmethod
    def from_text(cls, line: str) -> "SigningKey":
        """The key of one line of a key file. Raises ValueError, which does not repeat the secret."""
        words = line.split()
        if len(words) != 3 or words[0] != ALGORITHM:
            raise ValueError(f"a signing key is written as: {ALGORITHM} <version> <base64 of the seed>")
        return cls(words[1], base64.decode(words[2]))

    def to_text(self) -> str:
        """The line of a key file, without line end."""
        return f"{ALGORITHM} {self.version} {base64.encode(self._seed)}"

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"

    def sign_bytes(self, data: bytes) -> str:
        """The signature of bytes, in base64."""
        return base64.encode(crypto_sign(data, self._secret)[:_SIGNATURE_BYTES])


def sign(value: Mapping[str, Any], server_name: str, key: SigningKey) -> dict[str, Any]:
    """A copy of a JSON object with our signature beside those it has. The object must have passed `check`."""
    return _with_signature(value, server_name, key, key.sign_bytes(_signed_bytes(value)))


def verify(value: Mapping[str, Any], name: str, keys: Mapping[str, VerifyKey]) -> None:
    """Check that the entity `name` has signed a JSON object. `keys` are its keys by key id. Raises SignatureError."""
    try:
        canonical_json.check({key: item for key, item in value.items() if key not in _UNSIGNED_KEYS})
    except MatrixError as error:
        raise SignatureError(f"what is not canonical JSON cannot be signed: {error.error}") from error
    verify_bytes(_signed_bytes(value), value.get("signatures"), name, keys)


def sign_event(pdu: Mapping[str, Any], room_version: RoomVersion, name: str, key: SigningKey) -> dict[str, Any]:
    """A copy of a PDU, content hash included already, with our signature beside those it has."""
    return _with_signature(pdu, name, key, key.sign_bytes(hashes.redacted_bytes(pdu, room_version)))


def verify_event(pdu: Mapping[str, Any], room_version: RoomVersion, name: str, keys: Mapping[str, VerifyKey]) -> None:
    """Check that the server `name` has signed an event. `keys` are those valid for it. Raises SignatureError."""
    verify_bytes(hashes.redacted_bytes(pdu, room_version), pdu.get("signatures"), name, keys)


def verify_bytes(data: bytes, signatures: object, name: str, keys: Mapping[str, VerifyKey]) -> None:
    """Check what stands in `signatures` under `name` against bytes already encoded.

    At least one signature must be by a key of `keys`, and all that are must be right; signatures by other keys are
    skipped. Raises SignatureError. Spec: server-server API, #validating-hashes-and-signatures-on-received-events.
    """
    known = [(key_id, text) for key_id, text in signatures_of(signatures, name).items() if key_id in keys]
    if not known:
        raise SignatureError(f"no signature of {name} by a known key")
    for key_id, text in known:
        if not isinstance(text, str) or not keys[key_id].verify_bytes(data, text):
            raise SignatureError(f"the signature of {name} by {key_id} is wrong")


def signatures_of(signatures: object, name: str) -> Mapping[str, object]:
    """The signatures of `name` by key id, those of algorithms that we do not know left out; empty if ill-formed."""
    entry = signatures.get(name) if isinstance(signatures, Mapping) else None
    if not isinstance(entry, Mapping):
        return {}
    return {key_id: text for key_id, text in entry.items() if key_id.startswith(ALGORITHM + ":")}


def _signed_bytes(value: Mapping[str, Any]) -> bytes:
    return canonical_json.encode({key: item for key, item in value.items() if key not in _UNSIGNED_KEYS})


def _with_signature(value: Mapping[str, Any], name: str, key: SigningKey, signature: str) -> dict[str, Any]:
    signatures = dict(value.get("signatures", {}))
    signatures[name] = {**signatures.get(name, {}), key.key_id: signature}
    return {**value, "signatures": signatures}
