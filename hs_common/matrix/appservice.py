"""Application services as their registrations describe them: what is theirs, what they want to hear of. Pure.

A registration comes from a YAML file or a command (`parse_registration`) and is kept as JSON without its tokens
(`encode_registration`). `Services` answers the questions that are asked for every event and every request; what it
answered about users is remembered, since the same ghosts come again and again.

Rules: only users of this server are in a namespace. An expression has to match from the beginning, not to the end,
as deployed registrations expect (`@_irc_` means all names that begin so).

Spec: application-service-api/#registration.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec

from hs_common.matrix.identifiers import is_user_id

REMEMBERED_USERS_LIMIT: Final = 200_000
"""Some 20 MiB; a large bridge host has tens of thousands of ghosts, and forgetting one costs some expressions."""
ID_LIMIT: Final = 255
TOKEN_LIMIT: Final = 4096
"""As of access tokens: longer ones would not be looked at."""


class Namespace(msgspec.Struct, frozen=True):
    """A set of ids, by an expression. Exclusive: nobody else may make or delete what is in it."""

    regex: str
    exclusive: bool = False


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What a service registered, without its tokens. `url` None: nothing is sent to it."""

    id: str
    url: str | None
    sender_localpart: str
    users: tuple[Namespace, ...] = ()
    aliases: tuple[Namespace, ...] = ()
    rooms: tuple[Namespace, ...] = ()
    rate_limited: bool = False  # of the users that it acts as; its own is never limited
    protocols: tuple[str, ...] = ()
    receive_ephemeral: bool = False
    device_news: bool = False  # MSC3202: device list changes and key counts
    device_management: bool = False  # MSC4190: devices are made by PUT /devices


class Tokens(msgspec.Struct, frozen=True):
    """The service's token for us is kept as a digest; ours for the service is sent, so it is kept as it is."""

    as_token_hash: bytes
    hs_token: str


class BadRegistration(ValueError):
    """The registration cannot be used; the text says what is wrong with it, without its tokens."""


_decoder: Final = msgspec.json.Decoder(Registration)


def encode_registration(registration: Registration) -> bytes:
    """As JSON, for keeping."""
    return msgspec.json.encode(registration)


def decode_registration(kept: bytes | str) -> Registration:
    """What `encode_registration` made."""
    return _decoder.decode(kept)


def parse_registration(given: object) -> tuple[Registration, Tokens]:
    """A registration as bridges write it, unknown keys ignored. Raises BadRegistration."""
    if not isinstance(given, Mapping):
        raise BadRegistration("A registration is a mapping of keys to values")
    service_id = _text(given, "id", ID_LIMIT)
    as_token, hs_token = _text(given, "as_token", TOKEN_LIMIT), _text(given, "hs_token", TOKEN_LIMIT)
    namespaces = given.get("namespaces") or {}
    if not isinstance(namespaces, Mapping):
        raise BadRegistration("`namespaces` must be a mapping")
    registration = Registration(
        id=service_id,
        url=_url(given),
        sender_localpart=_text(given, "sender_localpart", ID_LIMIT),
        users=_namespaces(namespaces, "users"),
        aliases=_namespaces(namespaces, "aliases"),
        rooms=_namespaces(namespaces, "rooms"),
        rate_limited=_flag(given, "rate_limited"),
        protocols=_protocols(given),
        receive_ephemeral=_flag(given, "receive_ephemeral", "push_ephemeral", "de.sorunome.msc2409.push_ephemeral"),
        device_news=_flag(given, "msc3202", "org.matrix.msc3202"),
        device_management=_flag(given, "io.element.msc4190", "org.matrix.msc4190"),
    )
    return registration, Tokens(sha256(as_token.encode("utf-8", "surrogateescape")).digest(), hs_token)


def _text(given: Mapping[str, Any], key: str, limit: int) -> str:
    value = given.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # YAML reads an id or token of digits as a number
    if not isinstance(value, str) or not value:
        raise BadRegistration(f"`{key}` must be a text")
    if len(value.encode("utf-8", "replace")) > limit or "\0" in value:
        raise BadRegistration(f"`{key}` has at most {limit} bytes, none of them NUL")
    return value


def _url(given: Mapping[str, Any]) -> str | None:
    url = given.get("url")
    if url is None or url == "":
        return None
    if not isinstance(url, str) or not url.startswith(("http://", "https://")) or not url.isascii():
        raise BadRegistration("`url` must begin with http:// or https://, or be null")
    return url.rstrip("/")


def _flag(given: Mapping[str, Any], *keys: str) -> bool:
    for key in keys:
        value = given.get(key)
        if value is not None:
            if not isinstance(value, bool):
                raise BadRegistration(f"`{key}` must be true or false")
            return value
    return False


def _protocols(given: Mapping[str, Any]) -> tuple[str, ...]:
    value = given.get("protocols") or ()
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) and one for one in value):
        raise BadRegistration("`protocols` must be a list of texts")
    return tuple(value)


def _namespaces(given: Mapping[str, Any], kind: str) -> tuple[Namespace, ...]:
    listed = given.get(kind) or ()
    if not isinstance(listed, list | tuple):
        raise BadRegistration(f"`namespaces.{kind}` must be a list")
    found = []
    for one in listed:
        if not isinstance(one, Mapping) or not isinstance(one.get("regex"), str):
            raise BadRegistration(f"`namespaces.{kind}` must be a list of mappings with a `regex`")
        try:
            re.compile(one["regex"])
        except re.error as error:
            raise BadRegistration(f"`namespaces.{kind}`: {one['regex']!r} is no expression: {error}") from error
        found.append(Namespace(one["regex"], one.get("exclusive") is True))
    return tuple(found)


Test = Callable[[str], object]


def _any_of(namespaces: Iterable[Namespace]) -> Test:
    patterns = [re.compile(namespace.regex) for namespace in namespaces]
    return lambda text: any(pattern.match(text) for pattern in patterns)


class Service:
    """A registered service, with its expressions compiled."""

    def __init__(self, registration: Registration, server_name: str, *, paused: bool = False) -> None:
        self.registration = registration
        self.id = registration.id
        self.paused = paused
        self.sender = f"@{registration.sender_localpart}:{server_name}"
        self._local = f":{server_name}"
        self._users, self._exclusive_users = _both(registration.users)
        self._aliases, self._exclusive_aliases = _both(registration.aliases)
        self._rooms = _any_of(registration.rooms)

    @property
    def hears_devices(self) -> bool:
        """Whether messages to devices of its users are sent to it."""
        return self.registration.receive_ephemeral or self.registration.device_news

    def has_user(self, user_id: str) -> bool:
        """Whether the service may act as this user, and hears of rooms that he is in."""
        if not user_id.endswith(self._local):
            return False
        return user_id == self.sender or bool(self._users(user_id))

    def has_alias(self, alias: str) -> bool:
        """Whether the alias, of this server, is in the service's namespace."""
        return alias.endswith(self._local) and bool(self._aliases(alias))

    def has_room(self, room_id: str) -> bool:
        """Whether the room is in the service's namespace by its id."""
        return bool(self._rooms(room_id))

    def owns_user(self, user_id: str) -> bool:
        """Whether nobody else may have this user id."""
        return user_id == self.sender or (user_id.endswith(self._local) and bool(self._exclusive_users(user_id)))

    def owns_alias(self, alias: str) -> bool:
        """Whether nobody else may make or delete this alias."""
        return alias.endswith(self._local) and bool(self._exclusive_aliases(alias))


def _both(namespaces: tuple[Namespace, ...]) -> tuple[Test, Test]:
    return _any_of(namespaces), _any_of(namespace for namespace in namespaces if namespace.exclusive)


class Services:
    """All registered services of a server. Never changed: another registration makes another one of these."""

    def __init__(self, services: Iterable[Service] = ()) -> None:
        self._by_id = {service.id: service for service in services}
        self._listening = [service for service in self._by_id.values() if service.registration.url is not None]
        self._of_user: dict[str, tuple[str, ...]] = {}

    def __iter__(self) -> Iterator[Service]:
        return iter(self._by_id.values())

    def get(self, service_id: str | None) -> Service | None:
        """The service of this id, if there is one."""
        return None if service_id is None else self._by_id.get(service_id)

    def replaced(self, service_id: str, service: Service | None) -> "Services":
        """These, with one put in, or (None) taken out."""
        others = [one for one in self._by_id.values() if one.id != service_id]
        return Services(others if service is None else [*others, service])

    def is_listening(self, service_id: str) -> bool:
        """Whether there is such a service and it is sent what it is interested in."""
        service = self._by_id.get(service_id)
        return service is not None and service.registration.url is not None

    @property
    def anyone_listens(self) -> bool:
        """Whether events have to be looked at at all."""
        return bool(self._listening)

    def interested_in_user(self, user_id: str) -> tuple[str, ...]:
        """The listening services with this user of ours in their namespaces."""
        found = self._of_user.get(user_id)
        if found is None:
            found = tuple(service.id for service in self._listening if service.has_user(user_id))
            if len(self._of_user) >= REMEMBERED_USERS_LIMIT:
                self._of_user.clear()
            self._of_user[user_id] = found
        return found

    def told_of_devices(self, user_id: str) -> tuple[str, ...]:
        """The listening services that are sent messages to devices of this user, if the account is theirs."""
        return tuple(
            service_id for service_id in self.interested_in_user(user_id) if self._by_id[service_id].hears_devices
        )

    def interested_in_alias(self, alias: str) -> tuple[str, ...]:
        """The listening services with this alias in their namespaces."""
        return tuple(service.id for service in self._listening if service.has_alias(alias))

    def interested_in_room(self, room_id: str) -> tuple[str, ...]:
        """The listening services with this room in their namespaces by its id."""
        return tuple(service.id for service in self._listening if service.has_room(room_id))

    def owners_of_user(self, user_id: str) -> list[Service]:
        """The services that reserve this user id."""
        return [service for service in self._by_id.values() if service.owns_user(user_id)]

    def owners_of_alias(self, alias: str) -> list[Service]:
        """The services that reserve this alias."""
        return [service for service in self._by_id.values() if service.owns_alias(alias)]


def check_sender(service: Service) -> None:
    """Raises BadRegistration if the service's own user would have no valid id."""
    if not is_user_id(service.sender):
        raise BadRegistration(f"`sender_localpart` makes no user id: {service.sender!r}")
