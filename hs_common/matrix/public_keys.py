"""The public keys of end-to-end encryption as clients upload them: their shapes, and who has to have signed what. Pure.

Rules: what is stored is what was uploaded, so that its signatures hold; `unsigned` is never kept. Signatures are
checked where the server is asked to (cross-signing); a device's own signature is its readers' business.

Spec: client-server-api/#key-algorithms, #uploading-keys, #cross-signing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hs_common.matrix import canonical_json
from hs_common.matrix.errors import MatrixError, bad_json, invalid_param, missing_param
from hs_common.matrix.identifiers import is_key_id, parse_key_id
from hs_common.matrix.signing import SignatureError, VerifyKey, verify

MASTER: Final = "master"
SELF_SIGNING: Final = "self_signing"
USER_SIGNING: Final = "user_signing"
USAGES: Final = (MASTER, SELF_SIGNING, USER_SIGNING)

# A key with its signatures has some hundred bytes; devices list some algorithms and keys. Room for what may come.
MAXIMUM_KEY_BYTES: Final = 4096
MAXIMUM_DEVICE_KEYS_BYTES: Final = 16384

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SignedKeys:
    """An object as uploaded: the canonical JSON of what was signed, and of the signatures."""

    keys: bytes
    signatures: bytes


@dataclass(frozen=True, slots=True)
class OneTimeKey:
    """A one-time or fallback key; `key` is JSON."""

    algorithm: str
    key_id: str
    key: bytes


@dataclass(frozen=True, slots=True)
class CrossSigningUpload:
    """One uploaded cross-signing key; `value` as it came."""

    usage: str
    public_key: str
    value: Json
    signed: SignedKeys


def parse_device_keys(value: Json, user_id: str, device_id: str | None) -> SignedKeys:
    """The identity keys that a device uploads for itself. Raises M_INVALID_PARAM, M_BAD_JSON, M_MISSING_PARAM."""
    for name, kind in (
        ("user_id", str), ("device_id", str), ("algorithms", list), ("keys", dict), ("signatures", dict)
    ):  # fmt: skip
        if name not in value:
            raise missing_param(f"`device_keys.{name}` is missing")
        if not isinstance(value[name], kind):
            raise bad_json(f"`device_keys.{name}` is of the wrong type")
    if value["user_id"] != user_id or value["device_id"] != device_id:
        raise invalid_param("`device_keys` must be those of the device that uploads them")
    if not all(isinstance(one, str) for one in (*value["algorithms"], *value["keys"].values())):
        raise bad_json("`device_keys.algorithms` and the values of `device_keys.keys` must be strings")
    return _signed(value, "device_keys", MAXIMUM_DEVICE_KEYS_BYTES)


def parse_one_time_keys(value: Json, name: str) -> list[OneTimeKey]:
    """Keys by `<algorithm>:<key id>`. `name` is that of the parameter. Raises M_INVALID_PARAM, M_BAD_JSON."""
    keys = []
    for full_id, key in value.items():
        if not is_key_id(full_id):
            raise invalid_param(f"`{name}` must have names of the form <algorithm>:<key id>")
        if not isinstance(key, str | dict):
            raise bad_json(f"`{name}` must have strings or objects as its values")
        if isinstance(key, dict) and not (isinstance(key.get("key"), str) and isinstance(key.get("signatures"), dict)):
            raise bad_json(f"A key of `{name}` must have a `key` and `signatures`")
        canonical_json.check(key)
        keys.append(OneTimeKey(*parse_key_id(full_id), _bounded(key, name, MAXIMUM_KEY_BYTES)))
    return keys


def parse_cross_signing_key(value: object, usage: str, user_id: str) -> CrossSigningUpload:
    """Raises M_BAD_JSON, M_INVALID_PARAM."""
    name = f"{usage}_key"
    if not isinstance(value, dict) or not isinstance(value.get("keys"), dict):
        raise bad_json(f"`{name}` must be an object with `keys`")
    if value.get("user_id") != user_id:
        raise invalid_param(f"`{name}.user_id` must be your own")
    usages = value.get("usage")
    if not isinstance(usages, list) or usage not in usages:
        raise invalid_param(f"`{name}.usage` must contain {usage}")
    if len(value["keys"]) != 1:
        raise invalid_param(f"`{name}.keys` must have exactly one key")
    ((key_id, public_key),) = value["keys"].items()
    if key_id != f"ed25519:{public_key}":
        raise invalid_param(f"`{name}.keys` must name the key by its algorithm, ed25519, and itself")
    verify_key(key_id, public_key)
    return CrossSigningUpload(usage, public_key, value, _signed(value, name, MAXIMUM_KEY_BYTES))


def verify_key(key_id: str, public_key: str) -> VerifyKey:
    """Raises M_INVALID_PARAM for what is no ed25519 key."""
    try:
        return VerifyKey.from_base64(key_id, public_key)
    except ValueError as error:
        raise invalid_param(f"{key_id[:80]!r} is not an ed25519 key: {error}") from error


def check_signature(value: Json, signer_id: str, key: VerifyKey) -> None:
    """The object must be signed by the signer with this key. Raises M_INVALID_SIGNATURE."""
    try:
        verify(value, signer_id, {key.key_id: key})
    except SignatureError as error:
        raise MatrixError(400, "M_INVALID_SIGNATURE", f"Invalid signature: {error}") from error


def ed25519_keys(keys: Mapping[str, Any]) -> Iterator[VerifyKey]:
    """The signing keys in the `keys` of a device, those that are none left out."""
    for key_id, public_key in keys.items():
        if key_id.startswith("ed25519:") and isinstance(public_key, str):
            try:
                yield VerifyKey.from_base64(key_id, public_key)
            except ValueError:
                continue


def signed_part(value: Mapping[str, Any]) -> Json:
    """The object without what signatures do not cover."""
    return {key: item for key, item in value.items() if key not in ("signatures", "unsigned")}


def _signed(value: Json, name: str, maximum_bytes: int) -> SignedKeys:
    signatures = value.get("signatures", {})
    if not isinstance(signatures, dict) or not all(isinstance(one, dict) for one in signatures.values()):
        raise bad_json(f"`{name}.signatures` must be an object of objects")
    signed = signed_part(value)
    canonical_json.check(signed)
    canonical_json.check(signatures)
    return SignedKeys(_bounded(signed, name, maximum_bytes), _bounded(signatures, name, maximum_bytes))


def _bounded(value: Any, name: str, maximum_bytes: int) -> bytes:
    encoded = canonical_json.encode(value)
    if len(encoded) > maximum_bytes:
        raise invalid_param(f"`{name}` is too large: an object in it may have {maximum_bytes} bytes")
    return encoded
