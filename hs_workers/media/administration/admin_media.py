"""Media for administrators of this server.

Not in the specification: paths and forms are those of Synapse's documented admin API, which moderation tools call.
"""

from typing import Any, Final

import orjson

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param, not_found
from hs_common.matrix.identifiers import is_media_id, is_room_id, is_server_name, is_user_id
from hs_common.storage import media_administration
from hs_common.storage.queries import Queries
from hs_workers.media.administration.administration import Administration, listed_json

DEFAULT_LIMIT: Final = 100
MAXIMUM_LIMIT: Final = 1_000
MAXIMUM_OFFSET: Final = 100_000_000
OLDEST_MS: Final = 1_000_000_000_000
"""A time before 2001 was meant as seconds: refused, as it would delete nothing or, turned round, everything."""
_ADMIN: Final = "/_synapse/admin/v1"


class AdminMedia:
    """Seeing, quarantining, deleting. `server_name` is this server's."""

    def __init__(self, server_name: str, db: Queries, administration: Administration) -> None:
        self._server_name = server_name
        self._db = db
        self._administration = administration

    # Seeing

    @endpoint("GET", f"{_ADMIN}/users/{{userId}}/media", auth=Auth.ADMIN, spec="Synapse's admin API, media of a user")
    async def of_user(self, request: Request) -> Reply:
        """A page of a user's uploads."""
        user_id = self._user(request)
        media, offset, total = await self._page(request, user_id)
        answer: dict[str, Any] = {"media": [listed_json(one) for one in media], "total": total}
        if offset + len(media) < total:
            answer["next_token"] = offset + len(media)
        return answer

    @endpoint("GET", f"{_ADMIN}/room/{{roomId}}/media", auth=Auth.ADMIN, spec="Synapse's admin API, media in a room")
    async def of_room(self, request: Request) -> Reply:
        """The media that a room's events show, as content URIs."""
        keys = await self._administration.media_of_room(_room(request))
        told: dict[str, list[str]] = {"local": [], "remote": []}
        for server, media_id in keys:
            told["local" if server == self._server_name else "remote"].append(f"mxc://{server}/{media_id}")
        return told

    @endpoint("GET", f"{_ADMIN}/media/{{serverName}}/{{mediaId}}", auth=Auth.ADMIN, spec="Synapse's admin API, media")
    async def info(self, request: Request) -> Reply:
        """One medium."""
        server_name, media_id = _key(request)
        if server_name == self._server_name:
            found = await media_administration.find_listed(self._db, media_id)
            if found is None:
                raise not_found("There are no such media")
            return {"media_info": {**listed_json(found), "user_id": found.user_id, "media_origin": None}}
        row = await media_administration.find_remote_content(self._db, server_name, media_id)
        if row is None or row[0] is None:
            raise not_found("There are no such media")
        names = ("media_length", "media_type", "upload_name", "created_ts", "last_access_ts", "quarantined_by")
        told = dict(zip(names, row[1:], strict=True))
        return {"media_info": {"media_origin": server_name, "media_id": media_id, "user_id": None, **told}}

    @endpoint("GET", f"{_ADMIN}/statistics/users/media", auth=Auth.ADMIN, spec="Synapse's admin API, statistics")
    async def statistics(self, request: Request) -> Reply:
        """How much each user has uploaded."""
        query = request.query
        offset, limit = _range(request)
        order = query.string("order_by", "user_id")
        if order not in media_administration.STATISTICS_ORDERS:
            raise invalid_param(f"order_by must be one of {', '.join(media_administration.STATISTICS_ORDERS)}")
        rows = await media_administration.usage_statistics(
            self._db,
            order,
            forwards=_is_forwards(request, order in ("user_id", "displayname")),
            offset=offset,
            limit=limit,
            from_ts=query.integer("from_ts", 0, minimum=0),
            until_ts=query.integer("until_ts", None, minimum=0),
            search=query.string("search_term", None),
        )
        users = [
            {
                "user_id": row[0],
                "displayname": None if row[1] is None else orjson.loads(row[1]),
                "media_count": row[2],
                "media_length": row[3],
            }
            for row in rows
        ]
        total = rows[0][4] if rows else 0
        answer: dict[str, Any] = {"users": users, "total": total}
        if offset + len(users) < total:
            answer["next_token"] = offset + len(users)
        return answer

    # Quarantine

    @endpoint(
        "POST",
        f"{_ADMIN}/media/quarantine/{{serverName}}/{{mediaId}}",
        auth=Auth.ADMIN,
        spec="Synapse's admin API, media",
    )
    async def quarantine(self, request: Request) -> Reply:
        """Keeps a medium from everybody."""
        await self._administration.quarantine([_key(request)], request.requester.user_id)
        return {}

    @endpoint(
        "POST",
        f"{_ADMIN}/media/unquarantine/{{serverName}}/{{mediaId}}",
        auth=Auth.ADMIN,
        spec="Synapse's admin API, media",
    )
    async def release(self, request: Request) -> Reply:
        """Gives it back."""
        await self._administration.release(*_key(request))
        return {}

    @endpoint(
        "POST",
        f"{_ADMIN}/room/{{roomId}}/media/quarantine",
        auth=Auth.ADMIN,
        aliases=(f"{_ADMIN}/quarantine_media/{{roomId}}",),
        spec="Synapse's admin API, media",
    )
    async def quarantine_room(self, request: Request) -> Reply:
        """All that a room's events show."""
        count = await self._administration.quarantine_room(_room(request), request.requester.user_id)
        return {"num_quarantined": count}

    @endpoint("POST", f"{_ADMIN}/user/{{userId}}/media/quarantine", auth=Auth.ADMIN, spec="Synapse's admin API, media")
    async def quarantine_user(self, request: Request) -> Reply:
        """All that a user uploaded."""
        count = await self._administration.quarantine_user(self._user(request), request.requester.user_id)
        return {"num_quarantined": count}

    @endpoint("POST", f"{_ADMIN}/media/protect/{{mediaId}}", auth=Auth.ADMIN, spec="Synapse's admin API, media")
    async def protect(self, request: Request) -> Reply:
        """A medium that is never to be quarantined."""
        await self._administration.protect(request.path["mediaId"], protected=True)
        return {}

    @endpoint("POST", f"{_ADMIN}/media/unprotect/{{mediaId}}", auth=Auth.ADMIN, spec="Synapse's admin API, media")
    async def unprotect(self, request: Request) -> Reply:
        """One that may be again."""
        await self._administration.protect(request.path["mediaId"], protected=False)
        return {}

    # Deleting

    @endpoint(
        "DELETE", f"{_ADMIN}/media/{{serverName}}/{{mediaId}}", auth=Auth.ADMIN, spec="Synapse's admin API, media"
    )
    async def delete(self, request: Request) -> Reply:
        """One medium, with its bytes."""
        server_name, media_id = _key(request)
        await self._administration.delete(server_name, media_id)
        return {"deleted_media": [media_id], "total": 1}

    @endpoint("DELETE", f"{_ADMIN}/users/{{userId}}/media", auth=Auth.ADMIN, spec="Synapse's admin API, media")
    async def delete_of_user(self, request: Request) -> Reply:
        """A page of a user's uploads, as `GET` lists it."""
        media, _, _ = await self._page(request, self._user(request))
        deleted = await self._administration.delete_all([one.media_id for one in media])
        return {"deleted_media": deleted, "total": len(deleted)}

    @endpoint(
        "POST",
        f"{_ADMIN}/media/delete",
        auth=Auth.ADMIN,
        aliases=(f"{_ADMIN}/media/{{serverName}}/delete",),
        spec="Synapse's admin API, media",
    )
    async def delete_old(self, request: Request) -> Reply:
        """Uploads that nobody was sent since some time."""
        if request.path.get("serverName", self._server_name) != self._server_name:
            raise invalid_param("Only media of this server are deleted so; others by purge_media_cache")
        query = request.query
        deleted = await self._administration.delete_unused_since(
            _before(request),
            query.integer("size_gt", 0, minimum=0),
            keeps_profiles=query.boolean("keep_profiles", True),
        )
        return {"deleted_media": deleted, "total": len(deleted)}

    @endpoint("POST", f"{_ADMIN}/purge_media_cache", auth=Auth.ADMIN, spec="Synapse's admin API, purging remote media")
    async def purge(self, request: Request) -> Reply:
        """Media of other servers that nobody asked for since some time."""
        return {"deleted": await self._administration.purge_remote(_before(request))}

    async def _page(self, request: Request, user_id: str) -> tuple[list[media_administration.Listed], int, int]:
        """The page of a user's media that is asked for, where it begins, and how many there are."""
        offset, limit = _range(request)
        order = request.query.string("order_by", "created_ts")
        if order not in media_administration.ORDERS:
            raise invalid_param(f"order_by must be one of {', '.join(media_administration.ORDERS)}")
        # Without an order the newest come first, as the documentation has it.
        forwards = _is_forwards(request, "order_by" in request.query)
        media = await media_administration.media_of_user(
            self._db, user_id, order, forwards=forwards, offset=offset, limit=limit
        )
        return media, offset, await media_administration.count_media_of_user(self._db, user_id)

    def _user(self, request: Request) -> str:
        user_id = request.path["userId"]
        if not is_user_id(user_id) or not user_id.endswith(f":{self._server_name}"):
            raise invalid_param("Only users of this server have media here")
        return user_id


def _range(request: Request) -> tuple[int, int]:
    offset = request.query.integer("from", 0, minimum=0, maximum=MAXIMUM_OFFSET)
    return offset, request.query.integer("limit", DEFAULT_LIMIT, minimum=1, maximum=MAXIMUM_LIMIT)


def _is_forwards(request: Request, default: bool) -> bool:
    direction = request.query.string("dir", "f" if default else "b")
    if direction not in ("f", "b"):
        raise invalid_param("dir must be f or b")
    return direction == "f"


def _before(request: Request) -> int:
    before_ms = request.query.integer("before_ts", minimum=0)
    if before_ms < OLDEST_MS:
        raise invalid_param("before_ts is a time in milliseconds since 1970")
    return before_ms


def _key(request: Request) -> tuple[str, str]:
    server_name, media_id = request.path["serverName"], request.path["mediaId"]
    if not is_server_name(server_name) or not is_media_id(media_id):
        raise invalid_param("That is not the address of media")
    return server_name, media_id


def _room(request: Request) -> str:
    if not is_room_id(request.path["roomId"]):
        raise invalid_param("That is not the id of a room")
    return request.path["roomId"]
