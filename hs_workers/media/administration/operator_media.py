"""Media for `viaduct admin media`, whose caller proves that he knows the server's shared secret. Not in the
specification."""

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.operator_proof import check_proof
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param, not_found, unknown
from hs_common.matrix.identifiers import is_user_id
from hs_common.storage import media_administration
from hs_common.storage.queries import Queries
from hs_workers.media.administration.administration import Administration, listed_json
from hs_workers.media.administration.mentioned import key_of
from hs_workers.media.blobs import PREFIXES, StorageFailed
from hs_workers.media.moving import Mover, NothingMoves

OPERATOR: Final = "the operator"
"""Who quarantined, where no account did."""
LISTED: Final = 1_000
_PATH: Final = "/_viaduct/admin/v1/media"

_Mxc = Annotated[str, msgspec.Meta(max_length=1_000)]


class _Selection(msgspec.Struct):
    """Exactly one of them says which media are meant."""

    mxc: _Mxc | None = None
    user_id: str | None = None
    room_id: str | None = None
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None


class _Purge(msgspec.Struct):
    before_ts: Annotated[int, msgspec.Meta(ge=0)]
    local: bool = False
    keep_profiles: bool = True


class _Move(msgspec.Struct):
    """Where the next step begins: in which part, behind which digest; and whether contents stay where they were."""

    part: Annotated[int, msgspec.Meta(ge=0, le=PREFIXES)] = 0
    after: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")] = ""
    keep: bool = False


class _Quota(msgspec.Struct):
    bytes: Annotated[int, msgspec.Meta(ge=0, le=1 << 60)] | None


class OperatorMedia:
    """`secret` is the config's shared one, `now_ms` the time of day."""

    def __init__(
        self, db: Queries, administration: Administration, mover: Mover, secret: str, now_ms: Callable[[], int]
    ) -> None:
        self._db = db
        self._administration = administration
        self._mover = mover
        self._secret = secret
        self._now_ms = now_ms

    @endpoint("GET", _PATH, auth=Auth.NONE, spec="Viaduct's own administration")
    async def usage(self, request: Request) -> Reply:
        """What there is, and who has most of it."""
        self._check(request)
        rows = await media_administration.usage_statistics(
            self._db, "media_length", forwards=False, offset=0, limit=20, from_ts=0, until_ts=None, search=None
        )
        users = [{"user_id": row[0], "count": row[2], "bytes": row[3]} for row in rows]
        return {**await media_administration.totals(self._db), "largest_users": users}

    @endpoint("GET", f"{_PATH}/users/{{userId}}", auth=Auth.NONE, spec="Viaduct's own administration")
    async def of_user(self, request: Request) -> Reply:
        """A user's newest uploads, what they take, and what they may."""
        self._check(request)
        user_id = request.path["userId"]
        usage = await media_administration.find_usage(self._db, user_id)
        if usage is None:
            raise not_found("This user has no media")
        media = await media_administration.media_of_user(
            self._db, user_id, "created_ts", forwards=False, offset=0, limit=LISTED
        )
        told: dict[str, Any] = {"bytes": usage[0], "count": usage[1], "media": [listed_json(one) for one in media]}
        return told if usage[2] is None else {**told, "most_bytes": usage[2]}

    @endpoint("PUT", f"{_PATH}/users/{{userId}}/quota", auth=Auth.NONE, spec="Viaduct's own administration")
    async def set_quota(self, request: Request) -> Reply:
        """What one user's media may take; null: what the config says."""
        self._check(request)
        if not is_user_id(request.path["userId"]):
            raise invalid_param("That is no user id")
        await media_administration.set_most_bytes(self._db, request.path["userId"], request.body(_Quota).bytes)
        return {}

    @endpoint("POST", f"{_PATH}/quarantine", auth=Auth.NONE, spec="Viaduct's own administration")
    async def quarantine(self, request: Request) -> Reply:
        """Keeps media from everybody: one, a user's, a room's, or some bytes."""
        self._check(request)
        wanted = _one_of(request.body(_Selection))
        if wanted.mxc is not None:
            return {"quarantined": await self._administration.quarantine([_key(wanted.mxc)], OPERATOR)}
        if wanted.user_id is not None:
            return {"quarantined": await self._administration.quarantine_user(wanted.user_id, OPERATOR)}
        if wanted.room_id is not None:
            return {"quarantined": await self._administration.quarantine_room(wanted.room_id, OPERATOR)}
        assert wanted.sha256 is not None
        await self._administration.quarantine_content(bytes.fromhex(wanted.sha256), OPERATOR)
        return {"quarantined": 1}

    @endpoint("POST", f"{_PATH}/release", auth=Auth.NONE, spec="Viaduct's own administration")
    async def release(self, request: Request) -> Reply:
        """Gives one back, or some bytes."""
        self._check(request)
        wanted = _one_of(request.body(_Selection))
        if wanted.mxc is not None:
            await self._administration.release(*_key(wanted.mxc))
        elif wanted.sha256 is not None:
            await self._administration.release_content(bytes.fromhex(wanted.sha256))
        else:
            raise invalid_param("Give mxc or sha256")
        return {}

    @endpoint("POST", f"{_PATH}/delete", auth=Auth.NONE, spec="Viaduct's own administration")
    async def delete(self, request: Request) -> Reply:
        """Deletes one, or all of a user's, with their bytes."""
        self._check(request)
        wanted = _one_of(request.body(_Selection))
        if wanted.mxc is not None:
            await self._administration.delete(*_key(wanted.mxc))
            return {"deleted": 1}
        if wanted.user_id is None:
            raise invalid_param("Give mxc or user_id")
        deleted = 0
        while media := await media_administration.media_of_user(
            self._db, wanted.user_id, "created_ts", forwards=True, offset=0, limit=LISTED
        ):
            deleted += len(await self._administration.delete_all([one.media_id for one in media]))
        return {"deleted": deleted}

    @endpoint("POST", f"{_PATH}/purge", auth=Auth.NONE, spec="Viaduct's own administration")
    async def purge(self, request: Request) -> Reply:
        """Deletes what nobody was sent since: other servers' media, or this server's."""
        self._check(request)
        body = request.body(_Purge)
        if not body.local:
            return {"deleted": await self._administration.purge_remote(body.before_ts)}
        deleted = await self._administration.delete_unused_since(body.before_ts, -1, keeps_profiles=body.keep_profiles)
        return {"deleted": len(deleted)}

    @endpoint("POST", f"{_PATH}/move", auth=Auth.NONE, waits=True, spec="Viaduct's own administration")
    async def move(self, request: Request) -> Reply:
        """Brings some contents from where media were kept to where they are kept now. `part` and `after` in the answer
        are where the next step begins, until `part` is `parts`."""
        self._check(request)
        body = request.body(_Move)
        try:
            step = await self._mover.step(body.part, bytes.fromhex(body.after), keeps=body.keep)
        except NothingMoves:
            raise invalid_param(
                "Nothing is being moved: set media.moving_from, and restart the media workers"
            ) from None
        except StorageFailed as error:
            raise unknown(str(error), status=503) from error
        return {
            "part": step.part,
            "parts": PREFIXES,
            "after": step.after.hex(),
            "moved": step.moved,
            "bytes": step.moved_bytes,
            "unknown": step.unknown,
            "broken": [sha256.hex() for sha256 in step.broken],
        }

    def _check(self, request: Request) -> None:
        check_proof(self._secret, request, self._now_ms())


def _one_of(wanted: _Selection) -> _Selection:
    given = [wanted.mxc, wanted.user_id, wanted.room_id, wanted.sha256]
    if sum(one is not None for one in given) != 1:
        raise invalid_param("Give exactly one of mxc, user_id, room_id, sha256")
    return wanted


def _key(mxc: str) -> tuple[str, str]:
    key = key_of(mxc)
    if key is None:
        raise invalid_param("mxc is not like mxc://example.org/abc")
    return key
