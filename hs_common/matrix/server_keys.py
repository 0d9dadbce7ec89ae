"""The keys that a server publishes: reading another's answer, and making one's own.

Rules: an answer counts only if a key in it has signed it. A key in use may be believed until the time the server says,
but at most for seven days after it was told; an old one signs nothing after its end.

Spec: server-server API, #retrieving-server-keys.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hs_common.matrix.identifiers import is_key_id, is_server_name
from hs_common.matrix.limits import MAX_INTEGER
from hs_common.matrix.signing import SignatureError, SigningKey, VerifyKey, sign, verify

LONGEST_BELIEF_MS: Final = 7 * 24 * 3600 * 1000
KEYS_LIMIT: Final = 64
"""Keys of one answer that are looked at, the ones in use first; servers have a handful."""


class BadServerKeys(ValueError):
    """An answer that cannot be believed; the text says why."""


@dataclass(frozen=True, slots=True)
class ServerKey:
    """A key of a server. `until_ms`: until when it may be believed; of an old one, when its use ended."""

    key: VerifyKey
    until_ms: int
    is_old: bool

    def is_valid_at(self, ts: int) -> bool:
        """Whether an event of that time may be signed with it."""
        return ts < self.until_ms if self.is_old else ts <= self.until_ms


@dataclass(frozen=True, slots=True)
class OldKey:
    """A key of ours that signs no more."""

    key: VerifyKey
    expired_ms: int


def parse_server_keys(answer: object, server: str, now_ms: int) -> list[ServerKey]:
    """The keys of a server's own signed answer. Raises BadServerKeys."""
    if not isinstance(answer, dict) or answer.get("server_name") != server:
        raise BadServerKeys(f"the keys are not those of {server}")
    until = answer.get("valid_until_ts")
    if type(until) is not int or not 0 <= until <= MAX_INTEGER:
        raise BadServerKeys("valid_until_ts is missing")
    in_use = list(_keys(answer.get("verify_keys")))
    if not in_use:
        raise BadServerKeys("there is no key in use")
    try:
        verify(answer, server, {key.key_id: key for key, _ in in_use})
    except SignatureError as error:
        raise BadServerKeys(str(error)) from error
    believed_ms = min(until, now_ms + LONGEST_BELIEF_MS)
    found = [ServerKey(key, believed_ms, is_old=False) for key, _ in in_use]
    named = {key.key_id for key, _ in in_use}
    for key, fields in _keys(answer.get("old_verify_keys")):
        expired = fields.get("expired_ts")
        if key.key_id not in named and type(expired) is int and 0 <= expired <= MAX_INTEGER:
            found.append(ServerKey(key, expired, is_old=True))
    return found[:KEYS_LIMIT]


def own_server_keys(server: str, key: SigningKey, old: Iterable[OldKey], valid_until_ms: int) -> dict[str, Any]:
    """What we publish of ourselves, signed."""
    return sign(
        {
            "server_name": server,
            "valid_until_ts": valid_until_ms,
            "verify_keys": {key.key_id: {"key": key.verify_key.to_base64()}},
            "old_verify_keys": {
                one.key.key_id: {"key": one.key.to_base64(), "expired_ts": one.expired_ms}
                for one in old
                if one.key.key_id != key.key_id
            },
        },
        server,
        key,
    )


def parse_old_key(line: str) -> OldKey:
    """A key as the config has it: `ed25519:VERSION PUBLIC_KEY EXPIRED_MS`. Raises ValueError."""
    words = line.split()
    if len(words) != 3:
        raise ValueError("an old key is written as: ed25519:<version> <base64 of the public key> <expired, in ms>")
    return OldKey(VerifyKey.from_base64(words[0], words[1]), int(words[2]))


def wanted_keys(body: Mapping[str, Any]) -> dict[str, dict[str, int | None]]:
    """Of a notary's request: by server, the key ids asked for and until when they should be valid. What is ill-formed
    is left out."""
    wanted: dict[str, dict[str, int | None]] = {}
    servers = body.get("server_keys")
    for server, keys in servers.items() if isinstance(servers, dict) else ():
        if not is_server_name(server) or not isinstance(keys, dict):
            continue
        wanted[server] = {key_id: _minimum(criteria) for key_id, criteria in keys.items() if is_key_id(key_id)}
    return wanted


def _minimum(criteria: object) -> int | None:
    value = criteria.get("minimum_valid_until_ts") if isinstance(criteria, dict) else None
    return value if type(value) is int and 0 <= value <= MAX_INTEGER else None


def _keys(value: object) -> Iterable[tuple[VerifyKey, dict[str, Any]]]:
    for key_id, fields in list(value.items())[:KEYS_LIMIT] if isinstance(value, dict) else ():
        text = fields.get("key") if isinstance(fields, dict) else None
        if not is_key_id(key_id) or not isinstance(text, str):
            continue
        try:
            yield VerifyKey.from_base64(key_id, text), fields
        except ValueError:  # another algorithm, or no key
            continue
