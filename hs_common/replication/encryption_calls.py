"""The calls by which devices publish keys and signatures, and send messages to devices."""

from typing import Final

import msgspec

from hs_common.replication.call import Call


class SetDeviceKeys(Call, frozen=True, kw_only=True):
    """Publish a device's identity keys. Other keys than before end its one-time keys and signatures.

    Errors: M_NOT_FOUND when the device is gone.
    """

    user_id: str
    device_id: str
    keys: bytes  # JSON object without `signatures` and `unsigned`
    signatures: bytes  # JSON object


class NewCrossSigningKey(msgspec.Struct, frozen=True, kw_only=True):
    public_key: str
    keys: bytes  # JSON object without `signatures` and `unsigned`
    signatures: bytes  # JSON object


class SetCrossSigningKeys(Call, frozen=True, kw_only=True):
    """Publish cross-signing keys, by usage. A new master key ends the keys that do not come with it.

    `expected` are the public keys by usage that the caller knows of; if others are published by now, 409 M_CONFLICT
    (never shown to a client: the worker looks again whether the user has to authenticate).
    Errors: M_FORBIDDEN when a device has a public key as its id.
    """

    user_id: str
    keys: dict[str, NewCrossSigningKey]
    expected: dict[str, str]


class NewSignature(msgspec.Struct, frozen=True, kw_only=True):
    user_id: str
    target: str  # a device id, or the public key of a master key
    key_id: str  # of the signing key
    signature: str


class AddSignatures(Call, frozen=True, kw_only=True):
    """Publish signatures, checked already, of own devices, the own master key and other users' master keys."""

    signer_id: str
    signatures: list[NewSignature]


class SendToDevice(Call, frozen=True, kw_only=True):
    """Put a message into devices' inboxes: user → device id (`*`: all) → message as JSON (type, sender, content).

    Devices that do not exist get nothing. A device that is named gets its own message, not the one for all.
    """

    sender: str
    messages: dict[str, dict[str, bytes]]


class HintKeyCounts(Call, frozen=True, kw_only=True):
    """The number of unclaimed one-time keys, or the use of fallback keys, of these devices changed: services are told.

    It has no position in the log: who missed it is told with the next one.
    """

    devices: list[tuple[str, str]]  # (user, device)


ENCRYPTION_CALLS: Final[tuple[type[Call], ...]] = (
    SetDeviceKeys,
    SetCrossSigningKeys,
    AddSignatures,
    SendToDevice,
    HintKeyCounts,
)
