"""Backups of room keys on the server, encrypted by the clients.

Spec: client-server-api/#server-side-key-backups.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
import orjson

from hs_common.http.endpoint import Auth, Rate, endpoint, r0, unstable
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param, not_found
from hs_common.matrix.identifiers import is_short
from hs_common.storage.key_backup import BackedUpKey, Backup
from hs_workers.client.encryption.backups import Backups

ALGORITHM_LIMIT: Final = 255
ALIASES: Final = (r0, unstable())
VERSION: Final = "/_matrix/client/v3/room_keys/version"
KEYS: Final = "/_matrix/client/v3/room_keys/keys"

Index = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class _Version(msgspec.Struct):
    algorithm: str
    auth_data: dict[str, Any]
    version: str | None = None


class _Key(msgspec.Struct):
    first_message_index: Index
    forwarded_count: Index
    is_verified: bool
    session_data: dict[str, Any]


class _Room(msgspec.Struct):
    sessions: dict[str, _Key]


class _Rooms(msgspec.Struct):
    rooms: dict[str, _Room]


class KeyBackup:
    """The versions of a user's backup, and the keys in them: all, of a room, of a session."""

    def __init__(self, backups: Backups) -> None:
        self._backups = backups

    # --- versions -----------------------------------------------------------------------------------------------------

    @endpoint(
        "POST",
        VERSION,
        auth=Auth.USER,
        rate=Rate.KEYS,
        aliases=ALIASES,
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3room_keysversion",
    )
    async def create(self, request: Request) -> Reply:
        """Begins a backup, which is the current one from now on."""
        body = request.body(_Version)
        if len(body.algorithm) > ALGORITHM_LIMIT:
            raise invalid_param("The algorithm's name is too long")
        auth_data = orjson.dumps(body.auth_data).decode()
        return {"version": str(await self._backups.create(request.requester.user_id, body.algorithm, auth_data))}

    @endpoint(
        "GET",
        VERSION,
        auth=Auth.USER,
        aliases=ALIASES,
        reads=False,
        spec="client-server-api/#get_matrixclientv3room_keysversion",
    )
    async def current(self, request: Request) -> Reply:
        """The current backup."""
        return _backup_json(await self._backups.get(request.requester.user_id))

    @endpoint(
        "GET",
        VERSION + "/{version}",
        auth=Auth.USER,
        aliases=ALIASES,
        reads=False,
        spec="client-server-api/#get_matrixclientv3room_keysversionversion",
    )
    async def get(self, request: Request) -> Reply:
        """One backup."""
        return _backup_json(await self._backups.get(request.requester.user_id, request.path["version"]))

    @endpoint(
        "PUT",
        VERSION + "/{version}",
        auth=Auth.USER,
        rate=Rate.KEYS,
        aliases=ALIASES,
        suspended_ok=True,
        spec="client-server-api/#put_matrixclientv3room_keysversionversion",
    )
    async def update(self, request: Request) -> Reply:
        """Changes how a backup is encrypted."""
        version, body = request.path["version"], request.body(_Version)
        if body.version is not None and body.version != version:
            raise invalid_param("The version in the body is not that of the path")
        auth_data = orjson.dumps(body.auth_data).decode()
        await self._backups.update(request.requester.user_id, version, body.algorithm, auth_data)
        return {}

    @endpoint(
        "DELETE",
        VERSION + "/{version}",
        auth=Auth.USER,
        rate=Rate.KEYS,
        aliases=ALIASES,
        suspended_ok=True,
        spec="client-server-api/#delete_matrixclientv3room_keysversionversion",
    )
    async def delete(self, request: Request) -> Reply:
        """Deletes a backup with its keys."""
        await self._backups.delete(request.requester.user_id, request.path["version"])
        return {}

    # --- keys ---------------------------------------------------------------------------------------------------------

    @endpoint(
        "PUT",
        KEYS,
        auth=Auth.USER,
        rate=Rate.KEYS,
        aliases=ALIASES,
        suspended_ok=True,
        spec="client-server-api/#put_matrixclientv3room_keyskeys",
    )
    async def put_all(self, request: Request) -> Reply:
        """Stores keys of several rooms."""
        rooms = request.body(_Rooms).rooms
        return await self._put(request, [key for room_id, room in rooms.items() for key in _rows(room_id, room)])

    @endpoint(
        "PUT",
        KEYS + "/{roomId}",
        auth=Auth.USER,
        rate=Rate.KEYS,
        aliases=ALIASES,
        suspended_ok=True,
        spec="client-server-api/#put_matrixclientv3room_keyskeysroomid",
    )
    async def put_room(self, request: Request) -> Reply:
        """Stores keys of one room."""
        return await self._put(request, list(_rows(request.path["roomId"], request.body(_Room))))

    @endpoint(
        "PUT",
        KEYS + "/{roomId}/{sessionId}",
        auth=Auth.USER,
        rate=Rate.KEYS,
        aliases=ALIASES,
        suspended_ok=True,
        spec="client-server-api/#put_matrixclientv3room_keyskeysroomidsessionid",
    )
    async def put_session(self, request: Request) -> Reply:
        """Stores the key of one session."""
        room = _Room({request.path["sessionId"]: request.body(_Key)})
        return await self._put(request, list(_rows(request.path["roomId"], room)))

    @endpoint(
        "GET",
        KEYS,
        auth=Auth.USER,
        aliases=ALIASES,
        reads=False,
        spec="client-server-api/#get_matrixclientv3room_keyskeys",
    )
    async def get_all(self, request: Request) -> Reply:
        """All keys of a backup."""
        rooms: dict[str, Any] = {}
        for key in await self._keys(request):
            rooms.setdefault(key.room_id, {"sessions": {}})["sessions"][key.session_id] = _key_json(key)
        return {"rooms": rooms}

    @endpoint(
        "GET",
        KEYS + "/{roomId}",
        auth=Auth.USER,
        aliases=ALIASES,
        reads=False,
        spec="client-server-api/#get_matrixclientv3room_keyskeysroomid",
    )
    async def get_room(self, request: Request) -> Reply:
        """The keys of one room."""
        return {"sessions": {key.session_id: _key_json(key) for key in await self._keys(request)}}

    @endpoint(
        "GET",
        KEYS + "/{roomId}/{sessionId}",
        auth=Auth.USER,
        aliases=ALIASES,
        reads=False,
        spec="client-server-api/#get_matrixclientv3room_keyskeysroomidsessionid",
    )
    async def get_session(self, request: Request) -> Reply:
        """The key of one session."""
        for key in await self._keys(request):
            return _key_json(key)
        raise not_found("Key not found.")

    @endpoint(
        "DELETE",
        KEYS,
        auth=Auth.USER,
        rate=Rate.KEYS,
        aliases=ALIASES,
        suspended_ok=True,
        spec="client-server-api/#delete_matrixclientv3room_keyskeys",
    )
    async def delete_all(self, request: Request) -> Reply:
        """Deletes all keys of a backup."""
        return await self._delete(request)

    @endpoint(
        "DELETE",
        KEYS + "/{roomId}",
        auth=Auth.USER,
        rate=Rate.KEYS,
        aliases=ALIASES,
        suspended_ok=True,
        spec="client-server-api/#delete_matrixclientv3room_keyskeysroomid",
    )
    async def delete_room(self, request: Request) -> Reply:
        """Deletes the keys of one room."""
        return await self._delete(request)

    @endpoint(
        "DELETE",
        KEYS + "/{roomId}/{sessionId}",
        auth=Auth.USER,
        rate=Rate.KEYS,
        aliases=ALIASES,
        suspended_ok=True,
        spec="client-server-api/#delete_matrixclientv3room_keyskeysroomidsessionid",
    )
    async def delete_session(self, request: Request) -> Reply:
        """Deletes the key of one session."""
        return await self._delete(request)

    async def _put(self, request: Request, keys: list[BackedUpKey]) -> Reply:
        for key in keys:
            if not (is_short(key.room_id) and is_short(key.session_id)):
                raise invalid_param("Room and session ids have at most 255 bytes")
        version = request.query.string("version")
        return _state_json(await self._backups.put(request.requester.user_id, version, keys))

    async def _keys(self, request: Request) -> list[BackedUpKey]:
        version, path = request.query.string("version"), request.path
        return await self._backups.keys(request.requester.user_id, version, path.get("roomId"), path.get("sessionId"))

    async def _delete(self, request: Request) -> Reply:
        version, path, user_id = request.query.string("version"), request.path, request.requester.user_id
        return _state_json(await self._backups.delete_keys(user_id, version, path.get("roomId"), path.get("sessionId")))


def _rows(room_id: str, room: _Room) -> Iterable[BackedUpKey]:
    return (
        BackedUpKey(
            room_id,
            session_id,
            key.first_message_index,
            key.forwarded_count,
            key.is_verified,
            orjson.dumps(key.session_data).decode(),
        )
        for session_id, key in room.sessions.items()
    )


def _key_json(key: BackedUpKey) -> dict[str, Any]:
    return {
        "first_message_index": key.first_message_index,
        "forwarded_count": key.forwarded_count,
        "is_verified": key.is_verified,
        "session_data": orjson.Fragment(key.session_data),
    }


def _state_json(backup: Backup) -> dict[str, Any]:
    return {"etag": str(backup.etag), "count": backup.count}


def _backup_json(backup: Backup) -> dict[str, Any]:
    return {
        "algorithm": backup.algorithm,
        "auth_data": orjson.Fragment(backup.auth_data),
        "version": str(backup.version),
        **_state_json(backup),
    }
