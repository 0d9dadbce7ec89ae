"""The grammar of identifiers: what is one, and its parts.

`is_*` answer whether a string is valid as others may send it; `parse_*` also take it apart and raise MatrixError 400
M_INVALID_PARAM. What is stricter for identifiers that we make says `new` in its name. Anything that is not a string is
not an identifier: all functions take unchecked JSON values.

Spec: appendices, #identifier-grammar.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import TypeGuard

from hs_common.matrix.errors import MatrixError, invalid_param
from hs_common.matrix.limits import (
    MAX_DEVICE_ID_BYTES,
    MAX_ID_BYTES,
    MAX_KEY_ID_BYTES,
    MAX_MEDIA_ID_LENGTH,
)

# Four all-numeric labels are an IPv4 literal, also when a number is too large for one.
_SERVER_NAME = re.compile(
    r"(?:(?P<ipv4>[0-9]{1,3}(?:\.[0-9]{1,3}){3})|\[(?P<ipv6>[0-9A-Fa-f:.]{2,45})\]|(?P<dns>[0-9A-Za-z.-]{1,255}))"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_MAX_SERVER_NAME_LENGTH = 255 + len(":65535")
_REMEMBERED_NAMES = 1024  # half a MiB at most; a list of users names few servers, again and again
_NEW_USER_LOCALPART = re.compile(r"[a-z0-9._=/+-]+")
_MEDIA_ID = re.compile(rf"[0-9A-Za-z_-]{{1,{MAX_MEDIA_ID_LENGTH}}}")
_KEY_ALGORITHM = re.compile(r"[a-z0-9_]+")
# Unpadded URL-safe base64 of a SHA-256 hash: room ids from version 12 on, after the sigil.
_HASH = re.compile(r"[0-9A-Za-z_-]{43}")
_MXC_SCHEME = "mxc://"


def is_server_name(name: object) -> TypeGuard[str]:
    """Whether this is a host name, an IPv4 address or an IPv6 address in brackets, with or without a port."""
    return isinstance(name, str) and _match_server_name(name) is not None


def parse_server_name(name: object) -> tuple[str, int | None]:
    """Host (an IPv6 address keeps its brackets) and port, None where the name has none."""
    match = _match_server_name(name) if isinstance(name, str) else None
    if match is None:
        raise _invalid("server name", name)
    host, port = match[0], match["port"]
    if port is None:
        return host, None
    return host[: -len(port) - 1], int(port)


def is_ip_literal(host: str) -> bool:
    """Whether the host of a valid server name is an IPv4 address or an IPv6 address in brackets, not a DNS name."""
    match = _SERVER_NAME.fullmatch(host)
    return match is not None and match["dns"] is None


def is_user_id(user_id: object) -> TypeGuard[str]:
    """Whether this is a user id, historical ones included. Spec: #historical-user-ids."""
    return _has_domain(user_id, "@")


def is_compliant_user_id(user_id: object) -> TypeGuard[str]:
    """Whether a user id may be shown to clients outside of events: no spaces, controls or non-ASCII, not empty.

    Spec: #historical-user-ids.
    """
    if not is_user_id(user_id):
        return False
    localpart = localpart_of(user_id)
    return localpart != "" and all("!" <= character <= "~" for character in localpart)


def is_new_user_localpart(localpart: object) -> TypeGuard[str]:
    """Whether we may create a user of this name: the current grammar. Spec: #user-identifiers."""
    return isinstance(localpart, str) and _NEW_USER_LOCALPART.fullmatch(localpart) is not None


def new_user_id(localpart: object, server_name: str) -> str:
    """The id of a user to be created. Raises MatrixError 400 M_INVALID_USERNAME."""
    if not is_new_user_localpart(localpart):
        raise MatrixError(400, "M_INVALID_USERNAME", "User names consist of the characters a-z, 0-9 and . _ = - / +")
    user_id = f"@{localpart}:{server_name}"
    if not is_short(user_id):
        raise MatrixError(400, "M_INVALID_USERNAME", f"User ids have at most {MAX_ID_BYTES} bytes")
    return user_id


def parse_user_id(user_id: object) -> tuple[str, str]:
    """Localpart and domain of a user id, historical ones included."""
    if not is_user_id(user_id):
        raise _invalid("user id", user_id)
    return _split(user_id)


def is_room_id(room_id: object) -> TypeGuard[str]:
    """Whether this is a room id of some room version: with a domain, or "!" and a hash. Spec: #room-ids."""
    return is_room_id_with_domain(room_id) or is_hash_room_id(room_id)


def is_room_id_with_domain(room_id: object) -> TypeGuard[str]:
    """Whether this is a room id as in room versions 1 to 11."""
    return _has_domain(room_id, "!")


def is_hash_room_id(room_id: object) -> TypeGuard[str]:
    """Whether this is a room id without a domain, as from room version 12 on."""
    return isinstance(room_id, str) and room_id.startswith("!") and _HASH.fullmatch(room_id, 1) is not None


def check_room_id(room_id: object) -> str:
    """The room id. Raises MatrixError 400 M_INVALID_PARAM if it is none."""
    if not is_room_id(room_id):
        raise _invalid("room id", room_id)
    return room_id


def is_room_alias(alias: object) -> TypeGuard[str]:
    """Whether this is a room alias. Spec: #room-aliases."""
    return _has_domain(alias, "#")


def parse_room_alias(alias: object) -> tuple[str, str]:
    """Localpart and domain of a room alias."""
    if not is_room_alias(alias):
        raise _invalid("room alias", alias)
    return _split(alias)


def is_event_id(event_id: object) -> TypeGuard[str]:
    """Whether this may be an event id of some room version: opaque behind its sigil. Spec: #event-ids."""
    return isinstance(event_id, str) and event_id.startswith("$") and len(event_id) > 1 and is_short(event_id)


def is_event_id_with_domain(event_id: object) -> TypeGuard[str]:
    """Whether this is an event id as in room versions 1 and 2. Spec: rooms/v1, #event-ids."""
    return _has_domain(event_id, "$")


def is_device_id(device_id: object) -> TypeGuard[str]:
    """Whether we take this as a device id. The specification has no grammar; the bounds are ours."""
    return isinstance(device_id, str) and device_id != "" and is_short(device_id, MAX_DEVICE_ID_BYTES)


def are_device_ids(device_ids: Sequence[str]) -> bool:
    """Whether we take all of these; those of hundreds of devices are looked at together where they are ASCII."""
    joined = "".join(device_ids)
    if joined.isascii() and "\0" not in joined:
        lengths = set(map(len, device_ids))
        return not lengths or (min(lengths) > 0 and max(lengths) <= MAX_DEVICE_ID_BYTES)
    return all(is_device_id(device_id) for device_id in device_ids)


def is_key_id(key_id: object) -> TypeGuard[str]:
    """Whether this is a key id `<algorithm>:<identifier>`, of a device, a server or a cross-signing key."""
    if not isinstance(key_id, str) or not is_short(key_id, MAX_KEY_ID_BYTES):
        return False
    algorithm, _, identifier = key_id.partition(":")
    return identifier != "" and _KEY_ALGORITHM.fullmatch(algorithm) is not None


def parse_key_id(key_id: object) -> tuple[str, str]:
    """Algorithm and identifier of a key id."""
    if not is_key_id(key_id):
        raise _invalid("key id", key_id)
    algorithm, _, identifier = key_id.partition(":")
    return algorithm, identifier


def is_media_id(media_id: object) -> TypeGuard[str]:
    """Whether this is a media id, which is safe as a file name. Spec: content repository, #security-considerations."""
    return isinstance(media_id, str) and _MEDIA_ID.fullmatch(media_id) is not None


def parse_mxc_uri(uri: object) -> tuple[str, str]:
    """Server name and media id of a content URI. Spec: client-server API, #matrix-content-mxc-uris."""
    if isinstance(uri, str) and uri.startswith(_MXC_SCHEME):
        server_name, _, media_id = uri[len(_MXC_SCHEME) :].partition("/")
        if is_server_name(server_name) and is_media_id(media_id):
            return server_name, media_id
    raise _invalid("content URI", uri)


def domain_of(identifier: str) -> str:
    """The domain of a valid user id, room alias, or room or event id that has one; else the empty string."""
    return identifier.partition(":")[2]


def localpart_of(identifier: str) -> str:
    """The localpart of a valid user id or room alias."""
    return identifier.partition(":")[0][1:]


def is_short(text: str, max_bytes: int = MAX_ID_BYTES) -> bool:
    """Whether text is within a limit of UTF-8 bytes and can be stored: no U+0000, no lone surrogates."""
    if "\0" in text:
        return False
    if text.isascii():
        return len(text) <= max_bytes
    try:
        return len(text.encode("utf-8")) <= max_bytes
    except UnicodeEncodeError:
        return False


def _match_server_name(name: str) -> re.Match[str] | None:
    return None if len(name) > _MAX_SERVER_NAME_LENGTH else _matched_server_name(name)


@lru_cache(_REMEMBERED_NAMES)
def _matched_server_name(name: str) -> re.Match[str] | None:
    match = _SERVER_NAME.fullmatch(name)
    if match is None or match["dns"] is not None:
        return match
    if match["ipv6"] is not None:
        return match if _is_ipv6_address(match["ipv6"]) else None
    return match if all(int(number) <= 255 for number in match["ipv4"].split(".")) else None


def _is_ipv6_address(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def _has_domain(identifier: object, sigil: str) -> TypeGuard[str]:
    if not isinstance(identifier, str) or not identifier.startswith(sigil):
        return False
    # The localpart has no ":", so the first one ends it; NUL and surrogates are refused by is_short.
    _, colon, domain = identifier.partition(":")
    return colon != "" and is_short(identifier) and _match_server_name(domain) is not None


def _split(identifier: str) -> tuple[str, str]:
    localpart, _, domain = identifier.partition(":")
    return localpart[1:], domain


def _invalid(kind: str, value: object) -> MatrixError:
    # What was sent may be long or not even a string; the answer repeats only a little of it.
    return invalid_param(f"Not a valid {kind}: {str(value)[:64]!r}")
